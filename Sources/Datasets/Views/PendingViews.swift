import Dispatch
import Tensors

/// A rank's views of one batch, which are made in the step, or ahead of it on a thread of its own.
///
/// The tensors belong to the thread of the device. The other thread only writes their elements, between `start` and
/// `wait`.
final class PendingViews {
    let draw: Int
    let samples: [Int]
    /// A group of views of one size each, [views·n, H, W, C].
    let groups: [Tensor]
    private let work: ViewWork
    private let thread = DispatchGroup()

    init(
        _ draw: Int, of samples: [Int], in dataset: ImageDataset, _ recipe: ViewRecipe, normalisation: Normalisation,
        seed: UInt64, epoch: Int, device: Device
    ) {
        self.draw = draw
        self.samples = samples
        let groups = recipe.groups.map { group in
            let frame = ViewFrame(dataset.shape, side: group.side)
            return device.tensor(
                [group.views.count * samples.count, frame.height, frame.width, dataset.shape.channels])
        }
        self.groups = groups
        work = ViewWork(
            dataset: dataset, recipe: recipe, normalisation: normalisation, seed: seed, epoch: epoch, samples: samples,
            targets: groups.map(\.base))
    }

    func make(isParallel: Bool) { work.run(isParallel: isParallel) }

    func start() {
        let work = work
        DispatchQueue.global(qos: .userInitiated).async(group: thread) { work.run(isParallel: false) }
    }

    /// Returns when the views are made. The work can neither fail nor wait for anything.
    func wait() { thread.wait() }
}

/// The arguments of making views. No other thread changes them.
private struct ViewWork: @unchecked Sendable {
    let dataset: ImageDataset
    let recipe: ViewRecipe
    let normalisation: Normalisation
    let seed: UInt64
    let epoch: Int
    let samples: [Int]
    /// The elements of each group of views. No one else uses them while the work runs.
    let targets: [UnsafeMutablePointer<Float>]

    func run(isParallel: Bool) {
        var view = 0
        for (group, target) in zip(recipe.groups, targets) {
            let size = ViewFrame(dataset.shape, side: group.side).size
            for (index, augmentation) in group.views.enumerated() {
                dataset.fill(
                    target + index * samples.count * size, indices: samples, normalisation: normalisation,
                    augmentation: augmentation, seed: seed, epoch: epoch, view: view, side: group.side,
                    isParallel: isParallel)
                view += 1
            }
        }
    }
}
