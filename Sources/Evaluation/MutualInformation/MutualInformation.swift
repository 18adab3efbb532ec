import Autodiff
import Collectives
import Foundation
import Layers
import Tensors

/// Which function scores pairs.
package enum MutualInformationCriticKind: String, Codable, CaseIterable, Sendable {
    /// Each side has a network, and the score is the inner product of what they give: cheap for many pairs.
    case separable
    /// One network over both: can tell more, and costs a pass a pair.
    case concatenated
}

/// Estimates the mutual information of paired rows by training a critic to tell true pairs from pairs of different rows.
///
/// The critic is trained on most rows, its best state is chosen and its scores are scaled by a part of the others, and
/// the estimate is its bound on the rest, so that neither fitting nor choosing shows in it. Batches are drawn from all
/// rows without regard to ranks, and their pairs are those of the whole batch. A separable critic starts from the Gaussian
/// that fits the rows (`GaussianScore`), and beside every estimate of few columns stands that of nearest neighbours
/// (`NeighbourInformation`), which knows nothing of critics.
package struct MutualInformation: Sendable {
    package var estimator: MutualInformationEstimator = .infoNCE
    package var critic: MutualInformationCriticKind
    /// Rows of a batch over all ranks, at least 8; every row of it is paired with every other.
    package var batch: Int
    /// Rows of a block of held-out rows, whose pairs are all pairs; InfoNCE can't pass its logarithm.
    package var candidates: Int
    /// Updates at most.
    package var steps = 2000
    /// Learning rate of Adam at the start, above 0; it falls to 0 along a cosine, and sooner where validation rows gain no
    /// more.
    package var rate = 1e-3
    /// What a step takes off the network's maps, as a multiple of the rate (Loshchilov & Hutter 2019).
    package var decay = 2.0
    /// Units of each of the critic's two hidden layers.
    package var units: Int
    /// Width of the space in which the two sides of a separable critic meet.
    package var embedding = 32
    /// Share of the rows that are not trained on, in 0.1...0.9: a third to choose by, the rest to report on.
    package var heldOut = 0.3

    package init(critic: MutualInformationCriticKind = .separable) {
        self.critic = critic
        (batch, candidates, units) = critic == .separable ? (512, 2048, 256) : (128, 512, 128)
    }

    /// Collective; the same on every rank and, to rounding, at every world size.
    ///
    /// - Parameters:
    ///   - x, y: this rank's consecutive rows, [n, Dx] and [n, Dy], the same rows of either; n may be 0. Columns are
    ///     standardised on the way, or replaced by normal scores where outliers or a heavy tail would flatten the rest.
    ///   - seed: sets the split, the critic's start and the order of the rows.
    ///   - progress: gets a line each time the validation rows are looked at.
    /// - Throws: `InputError` where rows don't fit together, are too few, don't vary or aren't finite, and where the critic
    ///   needs more memory than there is.
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

    /// The estimate by nearest neighbours alone, which trains nothing. Collective; the same on every rank.
    /// - Parameters: as those of `callAsFunction`; the seed says which rows are taken where there are too many.
    /// - Throws: `InputError` as there, and for more than 5 columns on either side.
    package static func byNeighbours(
        x: Tensor, y: Tensor, seed: UInt64, ranks: any Ranks, device: Device
    ) throws -> NeighbourEstimate {
        try ranks.agree {
            guard max(x.shape[1], y.shape[1]) <= NeighbourInformation.mostColumns else {
                throw InputError(
                    "x has \(x.shape[1]) columns and y \(y.shape[1]): ksg takes at most "
                        + "\(NeighbourInformation.mostColumns) on either side, for neighbours in more say little; use "
                        + "another --estimator, or fewer columns")
            }
        }
        let rows = try PairedRows(x: x, y: y, heldOut: 0.3, seed: seed, ranks: ranks, device: device)
        let found = try rows.neighbourInformation(most: mostNeighbourRows, ranks: ranks, device: device)
        let reference = try rows.neighbourInformation(most: referenceRows, ranks: ranks, device: device)
        return NeighbourEstimate(found: found, reference: reference, rows: RowCounts(rows))
    }

    /// Rows that the reference is made of, at most: two seconds' worth.
    private static let referenceRows = 10_000
    /// Rows that are taken where nearest neighbours are all there is.
    private static let mostNeighbourRows = 100_000

    /// Throws where the critic of so many columns can't be trained in the memory of this rank's machine. Collective.
    private func checkMemory(x: Int, y: Int, ranks: any Ranks) throws {
        let (x, y, units, embedding) = (Double(x), Double(y), Double(units), Double(embedding))
        let parameters =
            critic == .separable
            ? 2 * units * (units + embedding + 3) + (x + y) * (units + embedding) : units * (units + x + y + 4)
        // Values, gradients, Adam's moments, the mean, the best and the current state; a row's inputs, layers and their
        // gradients, and of the concatenated critic a row's pairs.
        let pairs = critic == .separable ? 1 : Double(candidates)
        let rows = Double(max(batch, candidates))
        let bytes = 4 * (7 * parameters + rows * (x + y + 8 * (units + embedding)) + 4 * pairs * units)
        let sharing = Double(try ranks.gatherText(ranks.host).filter { $0 == ranks.host }.count)
        let memory = Double(ProcessInfo.processInfo.physicalMemory)
        try ranks.agree {
            guard bytes * sharing <= memory / 2 else {
                throw InputError(
                    "a critic of \(self.units) units over \(Int(x)) + \(Int(y)) columns, with batch \(batch) and "
                        + "candidates \(candidates), takes \((bytes / 1e9).rounded2) GB on each of \(Int(sharing)) ranks; "
                        + "at most half the machine's \((memory / 1e9).rounded2) GB are given to it: use fewer units")
            }
        }
    }

    private func check() throws {
        guard batch >= 8, candidates >= 8, steps >= 1, rate > 0, decay >= 0, units >= 1, embedding >= 1,
            (0.1...0.9).contains(heldOut)
        else {
            throw InputError(
                "batch \(batch), candidates \(candidates), \(steps) steps, rate \(rate), decay \(decay), \(units) units, "
                    + "embedding \(embedding), held out \(heldOut): need at least 8, 8, 1, above 0, at least 0, 1, 1, "
                    + "0.1 to 0.9")
        }
    }
}
