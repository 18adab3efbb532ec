import Collectives
import Foundation
import XCTest

@testable import Datasets

/// In XCTest, as all that needs ranks.
final class PatchCovarianceTests: XCTestCase {
    func testDefinitionAndSameBitsAtAnyWorldSize() throws {
        let folder = try TemporaryFolder()
        let (count, height, width, channels) = (37, 4, 5, 3)
        let pixels = (0..<count * height * width * channels).map { Float(sin(0.3 * Double($0 * $0 % 977))) + 0.2 }
        let path = folder.path + "/x.npy"
        try NumPyArray.write(path: path, shape: [count, height, width, channels], values: pixels)
        let alone = try found(in: path, ranks: SingleRank())
        let values = try XCTUnwrap(alone.values)
        XCTAssertEqual(values.count, 144)

        var expected = [Double](repeating: 0, count: 144)
        for image in 0..<count {
            for row in 0..<height - 1 {
                for column in 0..<width - 1 {
                    let patch = (0..<12).map { i in
                        let (c, r, k) = (i / 4, row + i / 2 % 2, column + i % 2)
                        let value = Double(pixels[((image * height + r) * width + k) * channels + c])
                        return (value - alone.normalisation.mean[c]) / alone.normalisation.deviation[c]
                    }
                    for i in 0..<144 { expected[i] += patch[i / 12] * patch[i % 12] / Double(count * 12) }
                }
            }
        }
        for (a, b) in zip(values, expected) { XCTAssertEqual(Double(a), b, accuracy: 1e-5) }
        for worldSize in 2...3 {
            try ThreadRank.run(worldSize) { ranks in
                let together = try found(in: path, ranks: ranks).values
                XCTAssertEqual(together?.map(\.bitPattern), values.map(\.bitPattern), "\(worldSize) ranks")
            }
        }
    }

    /// Vectors have no patches.
    func testNothingWithoutPatches() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/x.npy"
        try NumPyArray.write(path: path, shape: [6, 15], values: (0..<90).map(Float.init))
        XCTAssertNil(try found(in: path, ranks: SingleRank()).values)
    }

    /// A card of before there was a covariance has none, and a damaged one is refused.
    func testCards() throws {
        let old = """
            {"height": 4, "width": 4, "channels": 1, "normalisation": {"mean": [0], "deviation": [1]}}
            """
        let card = try JSONDecoder().decode(ViewCard.self, from: Data(old.utf8))
        XCTAssertNil(card.patchCovariance)
        try card.check()
        let whole = ViewCard(
            height: 4, width: 4, channels: 1, normalisation: card.normalisation,
            patchCovariance: (0..<16).map { 0.1 * Float($0) })
        try whole.check()
        let again = try JSONDecoder().decode(ViewCard.self, from: JSONEncoder().encode(whole))
        XCTAssertEqual(again, whole)
        XCTAssertEqual(again.patchCovariance, whole.patchCovariance)
        XCTAssertEqual(whole, card, "the images are the same")
        let damaged = ViewCard(
            height: 4, width: 4, channels: 1, normalisation: card.normalisation, patchCovariance: [1, 2])
        XCTAssertThrowsError(try damaged.check()) {
            XCTAssert("\($0)".contains("covariance of patches has 2 numbers, expected 16"), "\($0)")
        }
    }
}

/// This rank's part of the file, and what is found in it.
private func found(in path: String, ranks: any Ranks) throws -> (values: [Float]?, normalisation: Normalisation) {
    let source = try ImageSource(ImageRequest(path: path, split: .test), ranks: ranks)
    let shards = try VirtualShards(imageCount: source.count)
    let dataset = try ranks.agree {
        try shards.check(worldSize: ranks.worldSize)
        let own = shards.ownedImages(rank: ranks.rank, worldSize: ranks.worldSize)
        return try ImageDataset(source, images: own)
    }
    let normalisation = try ChannelStatistics(of: dataset, in: shards, over: ranks).normalisation
    let values = try PatchCovariance.values(of: dataset, in: shards, normalisation: normalisation, over: ranks)
    return (values, normalisation)
}
