import Autodiff
import Collectives
import Datasets
import Tensors

/// The images of a run, of which this rank holds its own shards, and the order in which they come.
package final class TrainingData {
    package let dataset: ImageDataset
    package let normalisation: Normalisation
    /// A line for each image file that was left out.
    package let skipped: [String]
    package private(set) var plan: BatchPlan
    private let augmentation: Augmentation
    private let seed: UInt64
    private let rank: Int
    private let worldSize: Int

    /// Reads this rank's images and, together with the others, the mean and deviation of all. Collective.
    package init(_ configuration: Configuration, ranks: any Ranks) throws {
        let settings = configuration.data
        let source = try ImageSource(settings.request(for: ranks), ranks: ranks)
        skipped = source.skipped
        (dataset, plan) = try ranks.agree {
            guard source.count >= 2 else {
                throw InputError("\(settings.path): 1 image, expected at least 2: each is told from the others")
            }
            try settings.augmentation.check(shape: source.shape)
            let shards = try VirtualShards(
                imageCount: source.count, count: settings.virtualShards == 0 ? nil : settings.virtualShards)
            try shards.check(worldSize: ranks.worldSize)
            let plan = try BatchPlan(shards: shards, batch: configuration.batch, seed: configuration.seed)
            let own = shards.ownedImages(rank: ranks.rank, worldSize: ranks.worldSize)
            let dataset = try ImageDataset(source, images: own)
            try settings.augmentation.check(shape: source.shape, holdsBytes: dataset.holdsBytes)
            return (dataset, plan)
        }
        normalisation = try Normalisation(of: dataset, in: plan.shards, over: ranks)
        augmentation = settings.augmentation
        seed = configuration.seed
        rank = ranks.rank
        worldSize = ranks.worldSize
    }

    package var card: ModelCard {
        ModelCard(
            height: dataset.shape.height, width: dataset.shape.width, channels: dataset.shape.channels,
            normalisation: normalisation)
    }

    /// This rank's images of a step's global batch, augmented and normalised, [n, H, W, channels].
    package func batch(step: Int, device: Device) -> (images: Tensor, shares: Shares) {
        let indices = indices(step: step)
        let images = device.tensor([indices.count, dataset.shape.height, dataset.shape.width, dataset.shape.channels])
        dataset.fill(
            images.base, indices: indices, normalisation: normalisation, augmentation: augmentation, seed: seed,
            epoch: plan.epoch(ofStep: step))
        return (images, shares(step: step))
    }

    /// Numbers in the data set of this rank's images of a step.
    func indices(step: Int) -> [Int] { plan.indices(step: step, rank: rank, worldSize: worldSize) }

    private func shares(step: Int) -> Shares {
        Shares(
            counts: (0..<worldSize).map { plan.share(step: step, rank: $0, worldSize: worldSize) }, rank: rank)
    }
}
