import Autodiff
import Collectives
import Datasets
import Layers

extension Model {
    /// Samples on which running statistics are estimated, about.
    private static var estimationSamples: Int { 10_000 }

    /// Sets the running statistics of batch norms to their means over batches of samples as they are. In training they
    /// follow those of augmented views, but features are computed from samples as they are. It changes nothing where
    /// views are not augmented. Collective; the same at any number of ranks.
    ///
    /// Only norms that features depend on are reached: those of encoders and projectors.
    package func estimateStatistics(on data: M.Source, ranks: any Ranks) throws {
        let batches = min(data.plan.stepsPerEpoch, (Self.estimationSamples + data.plan.batch - 1) / data.plan.batch)
        for index in 0..<batches {
            guard let batch = try data.plainBatch(index, device: device) else { return }
            var options = Tape.Options()
            options.recordsRules = false
            options.statisticsWeight = 1 / Float(index + 1)
            let tape = Tape(device: device, ranks: ranks, shares: batch.shares, options: options)
            _ = try method.features(tape, batch, Array(M.Layer.allCases))
            tape.settle()
        }
    }
}
