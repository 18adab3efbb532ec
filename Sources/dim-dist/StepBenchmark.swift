import Autodiff
import Collectives
import Datasets
import Tensors
import Training

/// Training steps, timed: on random CIFAR-shaped images, or on data where there is a path.
struct StepBenchmark {
    struct Outcome {
        /// Of each step, between barriers.
        let milliseconds: [Double]
        let timeline: Timeline
        /// Blocks of memory asked from the system in these steps.
        let allocations: Int

        /// Of the milliseconds.
        var median: Double {
            let times = milliseconds.sorted()
            return (times[times.count / 2] + times[(times.count - 1) / 2]) / 2
        }
    }

    private static let warmUpSteps = 5

    private let model: Model
    private let engine: GradientEngine
    private let device: Device
    private let ranks: any Ranks
    /// For what isn't a part of the step.
    private let untimed: any Ranks
    private let timeline = Timeline()
    private let batch: (_ step: Int) -> (images: Tensor, shares: Shares)

    /// Collective.
    init(_ configuration: Configuration, device: Device, ranks: any Ranks) throws {
        device.timeline = timeline
        untimed = ranks
        let ranks = TimedRanks(ranks, timeline: timeline)
        self.device = device
        self.ranks = ranks
        var card = ModelCard(
            height: 32, width: 32, channels: 3, normalisation: Normalisation(mean: [0, 0, 0], deviation: [1, 1, 1]))
        if configuration.data.path.isEmpty {
            let size = configuration.batch / ranks.worldSize
            let shares = Shares(counts: Array(repeating: size, count: ranks.worldSize), rank: ranks.rank)
            let images = device.tensor([size, 32, 32, 3])
            var stream = RandomStream(seed: 0, purpose: .synthetic, sample: ranks.rank)
            for i in 0..<images.count { images.base[i] = 2 * stream.uniform() - 1 }
            batch = { _ in (images, shares) }
        } else {
            let data = try TrainingData(configuration, ranks: ranks)
            card = data.card
            batch = { data.batch(step: $0, device: device) }
        }
        let image = card
        model = try ranks.agree { try Model(configuration, card: image, device: device) }
        engine = try GradientEngine(model, optimisers: model.optimisers(configuration), ranks: ranks)
        if let note = engine.note, ranks.isFirst { Program.complain(note) }
    }

    /// Bytes of a rank's gradients.
    var gradientBytes: Int { model.parameterSets.reduce(0) { $0 + $1.count * 4 } }

    /// Collective.
    func run(steps: Int) throws -> Outcome {
        for step in 0..<Self.warmUpSteps { try self.step(step) }
        let allocations = device.memory.systemAllocations
        try untimed.barrier()
        timeline.restart()
        let milliseconds = try (0..<steps).map { step in
            let start = ContinuousClock.now
            try self.step(Self.warmUpSteps + step)
            let time = start.duration(to: .now) / .milliseconds(1)
            try untimed.barrier()
            return time
        }
        return Outcome(
            milliseconds: milliseconds, timeline: timeline,
            allocations: device.memory.systemAllocations - allocations)
    }

    private func step(_ step: Int) throws {
        let (images, shares) = timeline.measure("data", .data) { batch(step) }
        var terms = try model.gradients(
            images: images, shares: shares, ranks: ranks, step: step, finished: engine.take)
        _ = try engine.update(&terms) { $0.rate }
    }
}
