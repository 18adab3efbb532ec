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
        try estimateStatistics(batches: batches, ranks: ranks) { index in
            try data.plainBatch(index, device: device).map { ($0, $0.shares) }
        }
    }

    /// As at a checkpoint, for a model that wasn't trained: on evenly spaced samples of the training split. It changes
    /// nothing where training doesn't change samples. Collective; the same at any number of ranks.
    /// - Parameter batch: samples of a batch.
    package func estimateStatistics(
        on rows: EvaluationRows<M.Source.Batch>, batch: Int, ranks: any Ranks
    ) throws {
        guard rows.areChangedInTraining else { return }
        let samples = rows.samples
        let size = min(batch, samples.count)
        let batches = max(1, min(samples.count, Self.estimationSamples) / size)
        try estimateStatistics(batches: batches, ranks: ranks) { index in
            // Samples are often in order of their classes, so each batch is spread over the whole split.
            let picked = (0..<size).map { ($0 * batches + index) * samples.count / (size * batches) }
            let own = picked.filter(samples.own.contains)
            let shares = Shares(counts: try ranks.gather(own.count), rank: ranks.rank)
            return (try rows.batch(own, device), shares)
        }
    }

    /// - Parameter batch: a batch, and how it is divided among ranks; nil where nothing is to change.
    private func estimateStatistics(
        batches: Int, ranks: any Ranks, batch: (_ index: Int) throws -> (M.Source.Batch, Shares)?
    ) throws {
        for index in 0..<batches {
            guard let (batch, shares) = try batch(index) else { return }
            var options = Tape.Options()
            options.recordsRules = false
            options.statisticsWeight = 1 / Float(index + 1)
            let tape = Tape(device: device, ranks: ranks, shares: shares, options: options)
            _ = try method.features(tape, batch, Array(M.Layer.allCases))
            tape.settle()
        }
    }
}
