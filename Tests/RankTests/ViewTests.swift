import Collectives
import Datasets
import Foundation
import Tensors
import XCTest

/// The law of ranks for views: a sample's views have the same bits on these ranks as on one, whether they are made in
/// the step or ahead of it.
final class ViewTests: XCTestCase {
    private var path = ""

    override func setUpWithError() throws {
        let folder = NSTemporaryDirectory() + "dim-dist-views-" + UUID().uuidString
        path = try World.ranks.broadcast(folder, from: 0) + "/data_batch_1.bin"
        try World.ranks.agree {
            guard World.ranks.isFirst else { return }
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            // 96 CIFAR images of noise.
            var stream = RandomStream(seed: 5, purpose: .synthetic)
            let bytes = (0..<96 * 3073).map { UInt8($0 % 3073 == 0 ? 0 : stream.index(below: 256)) }
            try Data(bytes).write(to: URL(fileURLWithPath: path))
        }
    }

    override func tearDownWithError() throws {
        try World.ranks.barrier()
        if World.ranks.isFirst {
            try FileManager.default.removeItem(at: URL(fileURLWithPath: path).deletingLastPathComponent())
        }
    }

    /// A sample's views in each draw, by sample: group after group.
    private func views(
        _ recipe: ViewRecipe, draws: Int, ahead: ViewsAhead, ranks: any Ranks
    ) throws -> [[Int: [Float]]] {
        var settings = ViewSettings()
        (settings.path, settings.virtualShards, settings.ahead) = (path, 8, ahead)
        let source = try ViewSource(settings, recipe, batch: 24, seed: 7, ranks: ranks)
        let device = try Device()
        return (0..<draws).map { draw in
            let batch = source.batch(draw, device: device)
            var result: [Int: [Float]] = [:]
            for group in batch.groups {
                let (rows, size) = (group.shape[0], group.count / max(group.shape[0], 1))
                for row in 0..<rows {
                    result[batch.samples[row % batch.count], default: []] +=
                        group.view(from: row * size, shape: [size]).array
                }
            }
            return result
        }
    }

    func testViewsAreTheSameOnAnyRanks() throws {
        var large = try XCTUnwrap(Augmentation(.byol))
        large.blur.above = 0
        (large.verticalFlip, large.quarterTurns, large.padCrop) = (true, true, 3)
        (large.noise, large.channelDrop, large.cutout.side) = (0.05, 0.3, 6)
        let recipe = ViewRecipe([
            ViewGroup(2, of: large), ViewGroup(3, of: large.ofSmallView, side: 12), ViewGroup([Augmentation()]),
        ])
        let draws = 6  // in two epochs of four
        let alone = try views(recipe, draws: draws, ahead: .never, ranks: SingleRank())
        XCTAssertEqual(alone.map(\.count), Array(repeating: 24, count: draws))
        for ahead in [ViewsAhead.never, .always] {
            let own = try views(recipe, draws: draws, ahead: ahead, ranks: World.ranks)
            for draw in 0..<draws {
                let total = try World.ranks.sum([Double(own[draw].count)])[0]
                XCTAssertEqual(total, 24, World.label)
                for (sample, values) in own[draw] {
                    XCTAssertEqual(alone[draw][sample], values, "\(World.label): sample \(sample), draw \(draw)")
                }
            }
        }
        // The first two views differ, and so do epochs; the last view is the image as it is.
        let again = alone[4].keys.compactMap { sample in
            alone[..<4].compactMap { $0[sample] }.first.map { (earlier: $0, later: alone[4][sample] ?? []) }
        }
        XCTAssertGreaterThan(again.count, 0)
        for (earlier, later) in again {
            XCTAssertNotEqual(earlier[..<3072], later[..<3072])
            XCTAssertNotEqual(later[..<3072], later[3072..<6144])
            XCTAssertEqual(earlier.suffix(3072), later.suffix(3072))
        }
    }

    /// A batch made ahead is dropped where another is asked for, and nothing waits for it for ever.
    func testAnyBatchMayBeNext() throws {
        var settings = ViewSettings()
        (settings.path, settings.virtualShards, settings.ahead) = (path, 8, .always)
        let recipe = ViewRecipe([try XCTUnwrap(Augmentation(.simclr))])
        let device = try Device()
        func source() throws -> ViewSource {
            try ViewSource(settings, recipe, batch: 24, seed: 7, ranks: World.ranks)
        }
        let jumping = try source()
        let batches = [0, 5, 5, 2].map { jumping.batch($0, device: device).images.array }
        for (batch, draw) in zip(batches, [0, 5, 5, 2]) {
            XCTAssertEqual(batch, try source().batch(draw, device: device).images.array, "\(World.label): \(draw)")
        }
    }
}
