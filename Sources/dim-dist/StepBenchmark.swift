import Autodiff
import Collectives
import Datasets
import Tensors
import Training

/// A timed run of steps.
struct StepTimes {
    /// Time of each step, between barriers.
    let milliseconds: [Double]
    let timeline: Timeline
    /// Blocks of memory that these steps requested from the system.
    let allocations: Int

    /// Median of the milliseconds.
    var median: Double {
        let times = milliseconds.sorted()
        return (times[times.count / 2] + times[(times.count - 1) / 2]) / 2
    }
}

/// Timed training steps: on random CIFAR-shaped images, or on data where a path is given.
struct StepBenchmark<M: Method> {
    private static var warmUpSteps: Int { 5 }

    private let model: Model<M>
    private let stepper: Stepper<M>
    private let device: Device
    /// Ranks for calls that aren't part of the step.
    private let untimed: any Ranks
    private let timeline = Timeline()

    /// Collective.
    init(_ configuration: Configuration<M>, device: Device, ranks: any Ranks) throws {
        let timeline = timeline
        device.timeline = timeline
        untimed = ranks
        let ranks = TimedRanks(ranks, timeline: timeline)
        self.device = device
        let recipe = try ranks.agree { try M.recipe(configuration.method, configuration.data) }
        let card: M.Source.Card
        let batch: (Int) throws -> M.Source.Batch
        if configuration.data.path.isEmpty {
            let noise = M.Source.noise(
                recipe, perRank: configuration.batch / ranks.worldSize, device: device, ranks: ranks)
            card = noise.card
            batch = { _ in noise.batch }
        } else {
            let data = try M.Source(
                configuration.data, recipe, batch: configuration.batch, seed: configuration.seed, ranks: ranks)
            card = data.card
            batch = { try data.batch($0, device: device) }
        }
        model = try ranks.agree { try Model(configuration, card: card, device: device) }
        let engine = try GradientEngine(model.store, ranks: ranks, exchange: configuration.exchange)
        if ranks.isFirst { for note in engine.notes { Program.complain(note) } }
        stepper = Stepper(model, engine, configuration.run, ranks: ranks) { draw in
            try timeline.measure("data", .data) { try batch(draw) }
        }
    }

    /// Bytes of gradients that are summed over nodes in a step.
    var gradientBytes: Int { stepper.gradientBytesPerStep }

    /// Collective.
    func run(steps: Int) throws -> StepTimes {
        for step in 0..<Self.warmUpSteps { _ = try stepper(step) }
        let allocations = device.memory.systemAllocations
        try untimed.barrier()
        timeline.restart()
        let milliseconds = try (0..<steps).map { step in
            let start = ContinuousClock.now
            _ = try stepper(Self.warmUpSteps + step)
            let time = start.duration(to: .now) / .milliseconds(1)
            try untimed.barrier()
            return time
        }
        return StepTimes(
            milliseconds: milliseconds, timeline: timeline,
            allocations: device.memory.systemAllocations - allocations)
    }
}
