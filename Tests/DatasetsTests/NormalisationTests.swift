import Collectives
import Foundation
import XCTest

@testable import Datasets

/// In XCTest, as all that needs ranks.
final class NormalisationTests: XCTestCase {
    func testClosedForms() {
        // Values 0 and 255, equally often: mean 1/2, deviation 1/2. All 51: mean 1/5, constant.
        var counts = [Int](repeating: 0, count: 512)
        counts[0] = 7
        counts[255] = 7
        counts[256 + 51] = 14
        let statistics = ChannelStatistics(valueCounts: counts)
        XCTAssertEqual(statistics.constants, [1])
        let normalisation = statistics.normalisation
        XCTAssertEqual(normalisation.mean, [0.5, 0.2])
        XCTAssertEqual(normalisation.deviation, [0.5, 1])
        // Every value once: mean 127.5, variance (256² - 1)/12.
        let uniform = ChannelStatistics(valueCounts: [Int](repeating: 1, count: 256)).normalisation
        XCTAssertEqual(uniform.mean, [0.5])
        XCTAssertEqual(uniform.deviation[0], (65535.0 / 12).squareRoot() / 255, accuracy: 1e-12)
    }

    func testSameBitsAtAnyWorldSize() throws {
        let folder = try TemporaryFolder()
        var bytes: [UInt8] = []
        for image in 0..<37 {
            bytes.append(UInt8(image % 10))
            for i in 0..<3072 { bytes.append(UInt8(truncatingIfNeeded: (i * 31 + image * 17) % 251 * image)) }
        }
        let path = try folder.write("test_batch.bin", bytes)
        let source = try ImageSource(path: path, split: .test)
        let alone = try ChannelStatistics(
            of: ImageDataset(source, images: 0..<37), in: VirtualShards(imageCount: 37), over: SingleRank()
        ).normalisation
        for worldSize in 1...3 {
            try ThreadRank.run(worldSize) { ranks in
                let together = try statistics(of: path, ranks: ranks).normalisation
                let label = "rank \(ranks.rank) of \(ranks.worldSize)"
                XCTAssertEqual(together.mean.map(\.bitPattern), alone.mean.map(\.bitPattern), label)
                XCTAssertEqual(together.deviation.map(\.bitPattern), alone.deviation.map(\.bitPattern), label)
            }
        }
        // Against a plain two-pass computation over the bytes.
        var red: [Double] = []
        for image in 0..<37 { red += bytes[image * 3073 + 1..<image * 3073 + 1025].map { Double($0) / 255 } }
        let count = Double(red.count)
        let mean = red.reduce(0, +) / count
        var variance = 0.0
        for value in red { variance += (value - mean) * (value - mean) / count }
        XCTAssertEqual(alone.mean[0], mean, accuracy: 1e-9)
        XCTAssertEqual(alone.deviation[0], variance.squareRoot(), accuracy: 1e-9)
    }

    /// Floats of very different sizes, whose sum depends on the order.
    func testFloatsGiveTheSameBitsAtAnyWorldSize() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/x.npy"
        var values: [Float] = []
        for i in 0..<53 * 4 {
            let size: Float = i % 7 == 0 ? 1e6 : 1e-3
            values.append(i % 4 == 3 ? 0.1 : Float(sin(Double(i))) * size + Float(i % 4))
        }
        try NumPyArray.write(path: path, shape: [53, 4], values: values)
        let found = try statistics(of: path, ranks: SingleRank())
        XCTAssertEqual(found.constants, [3])
        let alone = found.normalisation
        for column in 0..<4 {
            var (mean, variance) = (0.0, 0.0)
            for row in 0..<53 { mean += Double(values[4 * row + column]) / 53 }
            for row in 0..<53 {
                let distance = Double(values[4 * row + column]) - mean
                variance += distance * distance / 53
            }
            XCTAssertEqual(alone.mean[column], mean, accuracy: 1e-12 * abs(mean))
            let deviation: Double = column == 3 ? 1 : variance.squareRoot()  // the last column is constant
            XCTAssertEqual(alone.deviation[column], deviation, accuracy: 1e-9 * deviation)
        }
        for worldSize in 2...3 {
            try ThreadRank.run(worldSize) { ranks in
                let together = try statistics(of: path, ranks: ranks).normalisation
                XCTAssertEqual(together.mean.map(\.bitPattern), alone.mean.map(\.bitPattern))
                XCTAssertEqual(together.deviation.map(\.bitPattern), alone.deviation.map(\.bitPattern))
            }
        }
    }

    /// Columns that are constants in float32: seconds of 2023 with their quarters, and lengths of atoms.
    func testDoublesKeepWhatFloatsLose() throws {
        let folder = try TemporaryFolder()
        @Sendable func value(_ row: Int, _ column: Int) -> Double {
            let wave = sin(Double(row * row) * 0.7)
            let columns: [Double] = [1.7e9 + wave, 1e-30 * wave, 1.0e9 / 3, 0x1p53 + 4 * (100 * wave).rounded(), wave]
            return columns[column]
        }
        let values = (0..<53 * 5).map { value($0 / 5, $0 % 5) }
        let path = try folder.writeArray("x.npy", "<f8", [53, 5], values)
        for worldSize in 1...3 {
            try ThreadRank.run(worldSize) { ranks in
                let found = try statistics(of: path, ranks: ranks)
                XCTAssertEqual(found.constants, [2])
                XCTAssertEqual(
                    found.remark(on: ImageShape(height: 1, width: 1, channels: 5)),
                    "column 2 (of 0 to 4) is constant and carries no information")
                for column in [0, 1, 3, 4] {
                    let own = (0..<53).map { value($0, column) - value(0, column) }
                    let mean = own.reduce(0, +) / 53
                    let deviation = (own.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 53).squareRoot()
                    let label = "column \(column), \(worldSize) ranks"
                    XCTAssertEqual(
                        found.normalisation.mean[column], value(0, column) + mean, accuracy: 1e-6 * deviation, label)
                    XCTAssertEqual(
                        found.normalisation.deviation[column], deviation, accuracy: 1e-6 * deviation, label)
                }
            }
        }
        // By numbers that another file gave, whose own columns lie elsewhere.
        let data = try ImageDataset(ImageSource(path: path, split: .train), images: 0..<53)
        let normalisation = Normalisation(
            mean: [1.7e9, 1e-31, 0, 0x1p53, 0.5], deviation: [0.5, 1e-30, 1e9, 200, 0.25])
        var batch = [Float](repeating: .nan, count: 53 * 5)
        batch.withUnsafeMutableBufferPointer {
            if let base = $0.baseAddress { data.fill(base, indices: Array(0..<53), normalisation: normalisation) }
        }
        for (index, found) in batch.enumerated() {
            let (row, column) = (index / 5, index % 5)
            let expected = (value(row, column) - normalisation.mean[column]) / normalisation.deviation[column]
            XCTAssertEqual(Double(found), expected, accuracy: 2e-6, "row \(row), column \(column)")
        }
    }

    /// Earlier checkpoints have the digits of Float.
    func testEqualToTheDigitsOfFloat() {
        let exact = Normalisation(mean: [0.4913996801], deviation: [0.24703223])
        XCTAssertEqual(exact, Normalisation(mean: [0.49139968], deviation: [0.24703223]))
        XCTAssertNotEqual(exact, Normalisation(mean: [0.4914], deviation: [0.24703223]))
    }

    func testRefusesOtherChannels() throws {
        let normalisation = Normalisation(mean: [0.5], deviation: [0.5])
        try normalisation.check(channels: 1)
        XCTAssertThrowsError(try normalisation.check(channels: 3)) {
            XCTAssert("\($0)".contains("1 means and 1 deviations, expected 3"), "\($0)")
        }
        for (mean, deviation) in [(0.5, 0), (.nan, 1), (0, .infinity), (0, -1)] as [(Double, Double)] {
            XCTAssertThrowsError(try Normalisation(mean: [mean], deviation: [deviation]).check(channels: 1))
        }
    }
}

/// Of the whole of a file, each rank reading its part.
private func statistics(of path: String, ranks: any Ranks) throws -> ChannelStatistics {
    let source = try ImageSource(ImageRequest(path: path, split: .test), ranks: ranks)
    let shards = try VirtualShards(imageCount: source.count)
    let dataset = try ranks.agree {
        try shards.check(worldSize: ranks.worldSize)
        let own = shards.ownedImages(rank: ranks.rank, worldSize: ranks.worldSize)
        return try ImageDataset(source, images: own)
    }
    return try ChannelStatistics(of: dataset, in: shards, over: ranks)
}
