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
    /// The batch that is made ahead.
    private var next: PendingViews?

    /// Reads this rank's images, and computes the mean and deviation of all ranks' images. Collective.
    package init(
        _ settings: ViewSettings, _ recipe: ViewRecipe, batch: Int, seed: UInt64, ranks: any Ranks
    ) throws {
        var request = settings.request(for: ranks)
        request.isLabelled = recipe.needsLabels
        request.neighbours = try ranks.ranksOfThisMachine()
        let source = try ImageSource(request, ranks: ranks)
        skipped = source.skipped
        (dataset, plan, self.recipe) = try ranks.agree {
            guard settings.layout == .automatic || source.format == .numPy else {
                throw InputError(
                    "data.layout is \(settings.layout.rawValue), but \(settings.path) holds no .npy images: leave it "
                        + "out")
            }
            guard source.count >= 2 else {
                throw InputError("\(settings.path): has 1 image, expected at least 2, because training compares images")
            }
            let isOfBytes = source.valueSize == 1
            let recipe = try recipe.fitted(to: source.shape, holdsBytes: isOfBytes)
            let shards = try VirtualShards(
                imageCount: source.count, count: settings.virtualShards == 0 ? nil : settings.virtualShards)
            try shards.check(worldSize: ranks.worldSize)
            let plan = try BatchPlan(shards: shards, batch: batch, seed: seed)
            let own = shards.ownedImages(rank: ranks.rank, worldSize: ranks.worldSize)
            let dataset = try ImageDataset(source, images: own)
            if recipe.needsUnitRange { try dataset.checkUnitRange(path: settings.path) }
            return (dataset, plan, recipe)
        }
        let labels = recipe.needsLabels ? try Self.labelCount(dataset, path: settings.path, ranks: ranks) : nil
        let statistics = try ChannelStatistics(
            of: dataset, in: plan.shards, over: ranks, progress: dataset.isMapped ? request.progress : nil)
        dataset.expectRandomOrder()
        let shape = source.shape
        let found = try Self.findings(source, dataset, ranks: ranks)
        let remark = statistics.remark(on: shape).map { "\(settings.path): \($0)" }
        let leftOut = recipe.remark(on: shape, holdsBytes: dataset.holdsBytes).map { "\(settings.path): \($0)" }
        (notes, changes) = (found.notes + [remark, leftOut].compactMap { $0 }, found.changes)
        let covariance =
            recipe.needsPatchCovariance
            ? try PatchCovariance.values(
                of: dataset, in: plan.shards, normalisation: statistics.normalisation, over: ranks) : nil
        card = ViewCard(
            height: shape.height, width: shape.width, channels: shape.channels, normalisation: statistics.normalisation,
            labels: labels, patchCovariance: covariance)
        self.settings = settings.resolved(virtualShards: plan.shards.count)
        self.seed = seed
        rank = ranks.rank
        worldSize = ranks.worldSize
    }

    /// One more than the largest label of all ranks' images. Collective.
    /// - Throws: `InputError` where no image has a label.
    private static func labelCount(_ dataset: ImageDataset, path: String, ranks: any Ranks) throws -> Int {
        let largest = try ranks.gather(Int(dataset.labels?.max() ?? noLabel)).max() ?? -1
        return try ranks.agree {
            guard largest >= 0 else {
                throw InputError("\(path): has no labels, from which this method learns: choose another method")
            }
            return largest + 1
        }
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

    /// This rank's images of a global batch, each view augmented and normalised. The batch after it may then be made
    /// while the caller goes on.
    package func batch(_ draw: Int, device: Device) -> ViewBatch {
        next?.wait()
        let ready = next?.draw == draw ? next : nil
        next = nil
        let current = ready ?? pending(draw, device)
        if ready == nil { current.make(isParallel: true) }
        if settings.ahead.isOn(hasSpareCore: device.hasSpareCore) {
            next = pending(draw + 1, device)
            next?.start()
        }
        if dataset.isMapped {  // while this step computes, the system reads the images of the batch to be made next
            let step = draw + (next == nil ? 1 : 2)
            dataset.prefetch(plan.indices(step: step, rank: rank, worldSize: worldSize))
        }
        let labels = recipe.needsLabels ? current.samples.map(dataset.label) : []
        return ViewBatch(
            shares: shares(of: draw), samples: current.samples, groups: current.groups, labels: labels)
    }

    package func plainBatch(_ draw: Int, device: Device) -> ViewBatch? {
        guard recipe.views.contains(where: \.changesImages) else { return nil }
        let samples = plan.indices(step: draw, rank: rank, worldSize: worldSize)
        let images = device.tensor([samples.count, card.height, card.width, card.channels])
        dataset.fill(images.base, indices: samples, normalisation: card.normalisation)
        return ViewBatch(shares: shares(of: draw), samples: samples, images: images)
    }

    private func shares(of draw: Int) -> Shares {
        let counts = (0..<worldSize).map { plan.share(step: draw, rank: $0, worldSize: worldSize) }
        return Shares(counts: counts, rank: rank)
    }

    private func pending(_ draw: Int, _ device: Device) -> PendingViews {
        PendingViews(
            draw, of: plan.indices(step: draw, rank: rank, worldSize: worldSize), in: dataset, recipe,
            normalisation: card.normalisation, seed: seed, epoch: plan.epoch(ofStep: draw), device: device)
    }

    deinit { next?.wait() }

    package static func rows(
        _ settings: ViewSettings, _ recipe: ViewRecipe, split: Split?, isLabelled: Bool, patches: PatchGrid?,
        card: ViewCard, ranks: any Ranks
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
        let areChanged = recipe.views.contains(where: \.changesImages)
        // Patches have the size of the last, smallest, views of training.
        let side = patches == nil ? nil : recipe.groups.last?.side
        return EvaluationRows(samples, areChangedInTraining: areChanged, parts: patches?.count ?? 1) { rows, device in
            let shape = [rows.count, side ?? card.height, side ?? card.width, card.channels]
            let images = device.tensor([(patches?.count ?? 1) * rows.count] + shape.dropFirst())
            if let patches {
                for index in 0..<patches.count {
                    dataset.fill(
                        images.base + index * shape.reduce(1, *), indices: rows, normalisation: card.normalisation,
                        window: patches.window(index, of: dataset.shape), side: side)
                }
            } else {
                dataset.fill(images.base, indices: rows, normalisation: card.normalisation)
            }
            return ViewBatch(shares: Shares(counts: [rows.count], rank: 0), samples: rows, images: images)
        }
    }

    /// CIFAR-shaped noise in -1...1, in squares of a group's side where it has one.
    package static func noise(
        _ recipe: ViewRecipe, perRank: Int, device: Device, ranks: any Ranks
    ) -> (card: ViewCard, batch: ViewBatch) {
        var stream = RandomStream(seed: 0, purpose: .synthetic, sample: ranks.rank)
        let groups = recipe.groups.map { group in
            let side = group.side ?? 32
            let images = device.tensor([group.views.count * perRank, side, side, 3])
            for i in 0..<images.count { images.base[i] = 2 * stream.uniform() - 1 }
            return images
        }
        // Of independent values in -1...1, whose variance is 1/3.
        let covariance = (0..<144).map { $0 % 13 == 0 ? Float(1) / 3 : 0 }
        let half = [Double](repeating: 0.5, count: 3)  // so that bytes would be in -1...1
        return (
            ViewCard(
                height: 32, width: 32, channels: 3, normalisation: Normalisation(mean: half, deviation: half),
                labels: recipe.needsLabels ? 10 : nil,
                patchCovariance: recipe.needsPatchCovariance ? covariance : nil),
            ViewBatch(
                shares: Shares(counts: Array(repeating: perRank, count: ranks.worldSize), rank: ranks.rank),
                samples: Array(ranks.rank * perRank..<(ranks.rank + 1) * perRank), groups: groups,
                labels: recipe.needsLabels ? (0..<perRank).map { Int32($0 % 10) } : [])
        )
    }
}
