import Collectives
import Foundation
import Tensors

/// The images of a run, and the order in which they come. A rank holds the images of its shards.
package final class ViewSource: DataSource {
    package let settings: ViewSettings
    package let card: ViewCard
    package let skipped: [String]
    package let notes: [String]
    package let changes: [ReadingChange]
    package private(set) var plan: BatchPlan
    private let dataset: ImageDataset
    private let recipe: ViewRecipe
    private let seed: UInt64
    private let rank: Int
    private let worldSize: Int

    /// Reads this rank's images, and computes the mean and deviation of all ranks' images. Collective.
    package init(
        _ settings: ViewSettings, _ recipe: ViewRecipe, batch: Int, seed: UInt64, ranks: any Ranks
    ) throws {
        var request = settings.request(for: ranks)
        request.isLabelled = false
        request.neighbours = try ranks.ranksOfThisMachine()
        let source = try ImageSource(request, ranks: ranks)
        skipped = source.skipped
        (dataset, plan) = try ranks.agree {
            guard settings.layout == .automatic || source.format == .numPy else {
                throw InputError(
                    "data.layout is \(settings.layout.rawValue), but \(settings.path) holds no .npy images: leave it "
                        + "out")
            }
            guard source.count >= 2 else {
                throw InputError("\(settings.path): has 1 image, expected at least 2, because training compares images")
            }
            for view in recipe.views { try view.check(shape: source.shape) }
            let shards = try VirtualShards(
                imageCount: source.count, count: settings.virtualShards == 0 ? nil : settings.virtualShards)
            try shards.check(worldSize: ranks.worldSize)
            let plan = try BatchPlan(shards: shards, batch: batch, seed: seed)
            let own = shards.ownedImages(rank: ranks.rank, worldSize: ranks.worldSize)
            let dataset = try ImageDataset(source, images: own)
            for view in recipe.views { try view.check(shape: source.shape, holdsBytes: dataset.holdsBytes) }
            if recipe.needsUnitRange { try dataset.checkUnitRange(path: settings.path) }
            return (dataset, plan)
        }
        let statistics = try ChannelStatistics(
            of: dataset, in: plan.shards, over: ranks, progress: dataset.isMapped ? request.progress : nil)
        dataset.expectRandomOrder()
        let shape = source.shape
        let found = try Self.findings(source, dataset, ranks: ranks)
        let remark = statistics.remark(on: shape).map { "\(settings.path): \($0)" }
        (notes, changes) = (found.notes + (remark.map { [$0] } ?? []), found.changes)
        card = ViewCard(
            height: shape.height, width: shape.width, channels: shape.channels, normalisation: statistics.normalisation)
        self.settings = settings.resolved(virtualShards: plan.shards.count)
        self.recipe = recipe
        self.seed = seed
        rank = ranks.rank
        worldSize = ranks.worldSize
    }

    /// Notes and changes of all ranks' images. Collective.
    private static func findings(
        _ source: ImageSource, _ dataset: ImageDataset, ranks: any Ranks
    ) throws -> (notes: [String], changes: [ReadingChange]) {
        let remarks = try dataset.remarks.total(over: ranks)
        return (
            source.notes + remarks.notes(of: source.count).map { "\(oneLine(source.path)): \($0)" },
            source.changes + remarks.changes(of: source.count)
        )
    }

    package var count: Int { dataset.count }

    package var summary: String { "\(count) images of \(card.height)x\(card.width)x\(card.channels)" }

    /// This rank's images of a global batch, each view augmented and normalised.
    package func batch(_ draw: Int, device: Device) -> ViewBatch {
        let samples = plan.indices(step: draw, rank: rank, worldSize: worldSize)
        var view = 0
        let groups = recipe.groups.map { group in
            let images = device.tensor([group.views.count * samples.count, card.height, card.width, card.channels])
            for (index, augmentation) in group.views.enumerated() {
                dataset.fill(
                    images.base + index * samples.count * dataset.shape.size, indices: samples,
                    normalisation: card.normalisation, augmentation: augmentation, seed: seed,
                    epoch: plan.epoch(ofStep: draw), view: view)
                view += 1
            }
            return images
        }
        if dataset.isMapped {  // while this step computes, the system reads the next one's images
            dataset.prefetch(plan.indices(step: draw + 1, rank: rank, worldSize: worldSize))
        }
        let counts = (0..<worldSize).map { plan.share(step: draw, rank: $0, worldSize: worldSize) }
        return ViewBatch(shares: Shares(counts: counts, rank: rank), samples: samples, groups: groups)
    }

    package static func rows(
        _ settings: ViewSettings, _ recipe: ViewRecipe, split: Split?, isLabelled: Bool, card: ViewCard,
        ranks: any Ranks
    ) throws -> EvaluationRows<ViewBatch> {
        var request = settings.request(for: ranks)
        request.split = split ?? .train
        request.isLabelled = isLabelled
        request.neighbours = try ranks.ranksOfThisMachine()
        let source = try ImageSource(request, ranks: ranks)
        let dataset = try ranks.agree {
            guard split == nil || source.hasSplits else {
                throw InputError(
                    isFolder(request.path)
                        ? "\(request.path): has no train and test split: move the images into folders train and test, "
                            + "or give another folder by --data"
                        : "\(request.path): is one file, without a train and a test split: give the folder of both by "
                            + "--data"
                )
            }
            let shape = source.shape
            guard (shape.height, shape.width, shape.channels) == (card.height, card.width, card.channels) else {
                throw InputError(
                    "\(request.path): has images of \(shape.height)x\(shape.width)x\(shape.channels), but the encoder "
                        + "was trained on \(card.height)x\(card.width)x\(card.channels)")
            }
            let start = source.count * ranks.rank / ranks.worldSize
            let end = source.count * (ranks.rank + 1) / ranks.worldSize
            let dataset = try ImageDataset(source, images: start..<end)
            if recipe.needsUnitRange { try dataset.checkUnitRange(path: request.path) }
            return dataset
        }
        let found = try Self.findings(source, dataset, ranks: ranks)
        let samples = EvaluationSamples(
            count: dataset.count, own: dataset.images, labels: dataset.labels, classNames: source.classNames,
            names: source.names, skipped: source.skipped, notes: found.notes, changes: found.changes,
            images: (dataset, card.normalisation))
        return EvaluationRows(samples) { rows, device in
            let images = device.tensor([rows.count, card.height, card.width, card.channels])
            dataset.fill(images.base, indices: Array(rows), normalisation: card.normalisation)
            return ViewBatch(shares: Shares(counts: [rows.count], rank: 0), samples: Array(rows), images: images)
        }
    }

    /// CIFAR-shaped noise in -1...1.
    package static func noise(
        _ recipe: ViewRecipe, perRank: Int, device: Device, ranks: any Ranks
    ) -> (card: ViewCard, batch: ViewBatch) {
        var stream = RandomStream(seed: 0, purpose: .synthetic, sample: ranks.rank)
        let groups = recipe.groups.map { group in
            let images = device.tensor([group.views.count * perRank, 32, 32, 3])
            for i in 0..<images.count { images.base[i] = 2 * stream.uniform() - 1 }
            return images
        }
        let half = [Double](repeating: 0.5, count: 3)  // so that bytes would be in -1...1
        return (
            ViewCard(height: 32, width: 32, channels: 3, normalisation: Normalisation(mean: half, deviation: half)),
            ViewBatch(
                shares: Shares(counts: Array(repeating: perRank, count: ranks.worldSize), rank: ranks.rank),
                samples: Array(ranks.rank * perRank..<(ranks.rank + 1) * perRank), groups: groups)
        )
    }
}
