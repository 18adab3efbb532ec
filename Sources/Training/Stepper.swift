import Collectives
import Datasets
import Layers
import Tensors

/// The steps of a method. Each pass of its turns is summed over ranks and makes an update.
package final class Stepper<M: Method> {
    package struct Outcome {
        /// Terms over the global batch; of several passes with the same names, the last.
        package let terms: LossTerms
        /// False where a pass had no finite loss and gradient. Its update and those after it were not made; those
        /// before it were.
        package let isFinite: Bool
        /// The votes of the last pass, summed over ranks.
        package let votes: [Double]
        /// The batch of the last pass.
        package let batch: M.Source.Batch
        /// The groups that were to move in the last pass.
        package let players: [ParameterGroup]
        /// Number of samples in the step's batches, of this rank and of all ranks.
        package let samples: (own: Int, total: Int)
    }

    private let model: Model<M>
    private let engine: GradientEngine
    private let settings: RunSettings
    private let ranks: any Ranks
    private let batch: (_ draw: Int) throws -> M.Source.Batch
    /// Batches that a step takes.
    package let drawsPerStep: Int

    /// - Parameter batch: returns this rank's part of a global batch.
    package init(
        _ model: Model<M>, _ engine: GradientEngine, _ settings: RunSettings, ranks: any Ranks,
        batch: @escaping (_ draw: Int) throws -> M.Source.Batch
    ) {
        self.model = model
        self.engine = engine
        self.settings = settings
        self.ranks = ranks
        self.batch = batch
        drawsPerStep = ScheduledPass.draws(of: model.method.turns(at: 0))
    }

    /// Bytes of gradients that are summed over nodes in a step.
    package var gradientBytesPerStep: Int {
        let players = ScheduledPass.all(of: model.method.turns(at: 0)).flatMap(\.turn.players)
        return settings.exchange.bytes * players.reduce(0) { $0 + $1.count }
    }

    /// Collective.
    /// - Parameter ballot: returns this rank's votes; called with each update.
    package func callAsFunction(_ step: Int, ballot: () -> [Double] = { [] }) throws -> Outcome {
        let method = model.method
        var outcome: Outcome?
        var drawn = -1
        for scheduled in ScheduledPass.all(of: method.turns(at: step)) {
            precondition(scheduled.draw < drawsPerStep, "step \(step) takes more batches than step 0")
            let batch = scheduled.draw == drawn ? outcome?.batch : nil
            let current = try batch ?? self.batch(step * drawsPerStep + scheduled.draw)
            var samples: (own: Int, total: Int) = outcome?.samples ?? (0, 0)
            if scheduled.draw != drawn {
                samples = (samples.own + current.shares.own, samples.total + current.shares.total)
            }
            drawn = scheduled.draw
            let players = scheduled.turn.players
            let pass = Pass(
                scheduled.turn, step: step, index: scheduled.index, seed: settings.seed,
                microBatch: settings.microBatch, device: model.device, ranks: ranks, shares: current.shares)
            let terms = try method.terms(pass, current)
            try pass.backward(terms, finished: engine.expect(players))
            var sums = LossTerms(terms)
            let update = try engine.update(players, &sums, votes: ballot(), at: step, of: settings.steps)
            var all = outcome?.terms ?? sums
            all.take(sums)
            outcome = Outcome(
                terms: all, isFinite: update.isFinite, votes: update.votes, batch: current, players: players,
                samples: samples)
            guard update.isFinite else { break }
            pass.settle()
            try method.settle(pass, current)
        }
        guard let outcome else { preconditionFailure("step \(step) of \(M.name) has no turn") }
        return outcome
    }
}
