import Collectives
import XCTest

@testable import Data

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
        let alone = try Normalisation(of: ImageDataset(source, images: 0..<37), over: SingleRank())
        for worldSize in 1...3 {
            try ThreadRank.run(worldSize) { ranks in
                let dataset = try ranks.agree {
                    let source = try ImageSource(path: path, split: .test)
                    let shards = try VirtualShards(imageCount: source.count)
                    try shards.check(worldSize: ranks.worldSize)
                    let own = shards.ownedImages(rank: ranks.rank, worldSize: ranks.worldSize)
                    return try ImageDataset(source, images: own)
                }
                let together = try Normalisation(of: dataset, over: ranks)
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
