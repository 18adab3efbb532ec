import Autodiff
import Collectives
import Foundation
import Layers
import Tensors

/// The kinds of critics, which score pairs.
package enum MutualInformationCriticKind: String, Codable, CaseIterable, Sendable {
    /// A network for each side. The score is the inner product of their outputs: fast for many pairs.
    case separable
    /// One network over both sides. It can express more, but takes a pass for every pair.
    case concatenated
}

/// Estimates the mutual information of paired rows by training a critic to separate true pairs from pairs of different
/// rows.
///
/// The critic is trained on most rows. Some of the others choose its best state and scale its scores. The estimate is
/// its bound on the rest, so that neither fitting nor choosing influences it. Batches are drawn from all rows without
/// regard to ranks, and their pairs are those of the whole batch. A separable critic starts from the Gaussian that fits
/// the rows (`GaussianScore`). Every estimate of few columns is compared with that of nearest neighbours
/// (`NeighbourInformation`), which needs no critic.
package struct MutualInformation: Sendable {
    package var estimator: MutualInformationEstimator = .infoNCE
    package var critic: MutualInformationCriticKind
    /// Rows of a batch over all ranks, at least 8. Every row is paired with every other.
    package var batch: Int
    /// Rows of a block of held-out rows. Every row is paired with every other; InfoNCE can't exceed the logarithm.
    package var candidates: Int
    /// Most updates.
    package var steps = 2000
    /// Learning rate of Adam at the start, above 0. It falls to 0 along a cosine, and sooner where validation rows stop
    /// improving.
    package var rate = 1e-3
    /// Decoupled weight decay of the network, as a multiple of the rate (Loshchilov & Hutter 2019).
    package var decay = 2.0
    /// Units of each of the critic's two hidden layers.
    package var units: Int
    /// Width of the embeddings of a separable critic.
    package var embedding = 32
    /// Fraction of the rows that are not trained on, in 0.1...0.9. A third of them chooses the critic, the rest is for
    /// the report.
    package var heldOut = 0.3

    package init(critic: MutualInformationCriticKind = .separable) {
        self.critic = critic
        (batch, candidates, units) = critic == .separable ? (512, 2048, 256) : (128, 512, 128)
    }

    /// Collective; the same on every rank and, to rounding, at every world size.
    ///
    /// - Parameters:
    ///   - x, y: this rank's consecutive rows, [n, Dx] and [n, Dy], the same rows of each; n may be 0. Columns are
    ///     standardised, or replaced by normal scores where outliers or a heavy tail would squeeze the other values
    ///     together.
    ///   - seed: sets the split, the critic's start and the order of the rows.
    ///   - progress: gets a line for each look at the validation rows.
    /// - Throws: `InputError` where rows don't fit together, are too few, don't vary or aren't finite, and where the
    ///   critic needs too much memory.
    package func callAsFunction(
        x: Tensor, y: Tensor, seed: UInt64, ranks: any Ranks, device: Device, progress: (String) -> Void = { _ in }
    ) throws -> MutualInformationEstimate {
        try ranks.agree { try check() }
        var rows = try PairedRows(x: x, y: y, heldOut: heldOut, seed: seed, ranks: ranks, device: device)
        try checkMemory(x: rows.xColumns.width, y: rows.yColumns.width, ranks: ranks)
        let reference =
            rows.suitNeighbours
            ? try rows.neighbourInformation(most: Self.referenceRows, ranks: ranks, device: device) : nil
        if critic == .separable { try rows.fitGaussian(ranks: ranks, device: device) }
        let training = MutualInformationTraining(self, rows: rows, seed: seed, ranks: ranks, device: device)
        let outcome = try training.run(progress: progress)
        let scale = try training.bestScale()
        let trained = rows.training.prefix(rows.test.count)
        return MutualInformationEstimate(
            settings: self, bound: try training.bound(rows.test, scale: scale),
            unscaled: try training.bound(rows.test, scale: 1),
            trained: (
                try training.bound(trained, scale: scale).nats,
                try training.bound(trained, scale: 1, as: estimator.criterion).nats
            ),
            training: outcome, rows: RowCounts(rows), reference: reference)
    }

    /// The estimate by nearest neighbours alone, without training. Collective; the same on every rank.
    /// - Parameters: as for `callAsFunction`; the seed chooses the rows where there are too many.
    /// - Throws: `InputError` as there, and for more than 5 columns of x or y.
    package static func byNeighbours(
        x: Tensor, y: Tensor, seed: UInt64, ranks: any Ranks, device: Device
    ) throws -> NeighbourEstimate {
        try ranks.agree {
            guard max(x.shape[1], y.shape[1]) <= NeighbourInformation.mostColumns else {
                throw InputError(
                    "x has \(x.shape[1]) columns and y has \(y.shape[1]): ksg takes at most "
                        + "\(NeighbourInformation.mostColumns) each, because with more it finds too little; use "
                        + "another --estimator, or fewer columns")
            }
        }
        let rows = try PairedRows(x: x, y: y, heldOut: 0.3, seed: seed, ranks: ranks, device: device)
        let found = try rows.neighbourInformation(most: mostNeighbourRows, ranks: ranks, device: device)
        let reference =
            found.rows <= referenceRows
            ? found : try rows.neighbourInformation(most: referenceRows, ranks: ranks, device: device)
        return NeighbourEstimate(found: found, reference: reference, rows: RowCounts(rows))
    }

    /// Most rows for the reference. They take about two seconds.
    private static let referenceRows = 10_000
    /// Most rows for an estimate by nearest neighbours alone.
    private static let mostNeighbourRows = 100_000

    /// Throws where the critic for this number of columns takes more than half the memory of a rank's machine.
    /// Collective.
    private func checkMemory(x: Int, y: Int, ranks: any Ranks) throws {
        let (x, y, units, embedding) = (Double(x), Double(y), Double(units), Double(embedding))
        let parameters =
            critic == .separable
            ? 2 * units * (units + embedding + 3) + (x + y) * (units + embedding) : units * (units + x + y + 4)
        // For parameters: values, gradients, Adam's moments, the mean, the best and the current state. For each row:
        // inputs, layers and their gradients, and the pairs of a concatenated critic.
        let pairs = critic == .separable ? 1 : Double(candidates)
        let rows = Double(max(batch, candidates))
        let bytes = 4 * (7 * parameters + rows * (x + y + 8 * (units + embedding)) + 4 * pairs * units)
        let sharing = Double(try ranks.ranksOfThisMachine())
        let memory = Double(ProcessInfo.processInfo.physicalMemory)
        try ranks.agree {
            guard bytes * sharing <= memory / 2 else {
                throw InputError(
                    "a critic of \(self.units) units over \(Int(x)) + \(Int(y)) columns, with batch \(batch) and "
                        + "candidates \(candidates), takes \((bytes / 1e9).rounded2) GB on each of "
                        + "\(Int(sharing)) ranks, more than half of the machine's \((memory / 1e9).rounded2) GB in "
                        + "total: lower --units")
            }
        }
    }

    private func check() throws {
        guard batch >= 8, candidates >= 8, steps >= 1, rate > 0, decay >= 0, units >= 1, embedding >= 1,
            (0.1...0.9).contains(heldOut)
        else {
            throw InputError(
                "batch \(batch), candidates \(candidates), steps \(steps), rate \(rate), decay \(decay), units "
                    + "\(units), embedding \(embedding), held out \(heldOut): they must be at least 8, at least 8, at "
                    + "least 1, above 0, at least 0, at least 1, at least 1, and from 0.1 to 0.9")
        }
    }
}
