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
        let normalisation = Normalisation(valueCounts: counts)
        XCTAssertEqual(normalisation.mean, [0.5, 0.2])
        XCTAssertEqual(normalisation.deviation, [0.5, 1])
        // Every value once: mean 127.5, variance (256² - 1)/12.
        let uniform = Normalisation(valueCounts: [Int](repeating: 1, count: 256))
        XCTAssertEqual(uniform.mean, [0.5])
        XCTAssertEqual(uniform.deviation[0], Float((65535.0 / 12).squareRoot() / 255), accuracy: 1e-7)
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
        let alone = try Normalisation(
            of: ImageDataset(source, images: 0..<37), in: VirtualShards(imageCount: 37), over: SingleRank())
        for worldSize in 1...3 {
            try ThreadRank.run(worldSize) { ranks in
                let together = try normalisation(of: path, ranks: ranks)
                let place = "rank \(ranks.rank) of \(ranks.worldSize)"
                XCTAssertEqual(together.mean.map(\.bitPattern), alone.mean.map(\.bitPattern), place)
                XCTAssertEqual(together.deviation.map(\.bitPattern), alone.deviation.map(\.bitPattern), place)
            }
        }
        // Against a plain two-pass computation over the bytes.
        var red: [Double] = []
        for image in 0..<37 { red += bytes[image * 3073 + 1..<image * 3073 + 1025].map { Double($0) / 255 } }
        let count = Double(red.count)
        let mean = red.reduce(0, +) / count
        var variance = 0.0
        for value in red { variance += (value - mean) * (value - mean) / count }
        XCTAssertEqual(alone.mean[0], Float(mean), accuracy: 1e-6)
        XCTAssertEqual(alone.deviation[0], Float(variance.squareRoot()), accuracy: 1e-6)
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
        let alone = try normalisation(of: path, ranks: SingleRank())
        for column in 0..<4 {
            var (mean, variance) = (0.0, 0.0)
            for row in 0..<53 { mean += Double(values[4 * row + column]) / 53 }
            for row in 0..<53 {
                let distance = Double(values[4 * row + column]) - mean
                variance += distance * distance / 53
            }
            XCTAssertEqual(alone.mean[column], Float(mean), accuracy: 1e-6 * abs(Float(mean)))
            let deviation: Float = column == 3 ? 1 : Float(variance.squareRoot())  // the last column is constant
            XCTAssertEqual(alone.deviation[column], deviation, accuracy: 1e-6 * deviation)
        }
        for worldSize in 2...3 {
            try ThreadRank.run(worldSize) { ranks in
                let together = try normalisation(of: path, ranks: ranks)
                XCTAssertEqual(together.mean.map(\.bitPattern), alone.mean.map(\.bitPattern))
                XCTAssertEqual(together.deviation.map(\.bitPattern), alone.deviation.map(\.bitPattern))
            }
        }
    }

    func testRefusesOtherChannels() throws {
        let normalisation = Normalisation(mean: [0.5], deviation: [0.5])
        try normalisation.check(channels: 1)
        XCTAssertThrowsError(try normalisation.check(channels: 3)) {
            XCTAssert("\($0)".contains("1 means and 1 deviations, expected 3"), "\($0)")
        }
        for (mean, deviation) in [(0.5, 0), (.nan, 1), (0, .infinity), (0, -1)] as [(Float, Float)] {
            XCTAssertThrowsError(try Normalisation(mean: [mean], deviation: [deviation]).check(channels: 1))
        }
    }
}

/// Of the whole of a file, each rank reading its part.
private func normalisation(of path: String, ranks: any Ranks) throws -> Normalisation {
    let source = try ImageSource(ImageRequest(path: path, split: .test), ranks: ranks)
    let shards = try VirtualShards(imageCount: source.count)
    let dataset = try ranks.agree {
        try shards.check(worldSize: ranks.worldSize)
        let own = shards.ownedImages(rank: ranks.rank, worldSize: ranks.worldSize)
        return try ImageDataset(source, images: own)
    }
    return try Normalisation(of: dataset, in: shards, over: ranks)
}
