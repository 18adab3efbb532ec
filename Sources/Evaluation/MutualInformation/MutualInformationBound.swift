import Autodiff
import Collectives
import Foundation
import Tensors

/// A bound's value on rows that its critic was not trained on, and its standard error.
package struct MutualInformationBound: Sendable {
    /// The bound. It is below 0 where a critic is worse than one that scores all pairs alike; -infinity where a score,
    /// or NWJ's mean of exponentials, isn't finite.
    package let nats: Double
    /// Standard error of the bound over draws of the rows, for this critic; infinity where it can't be computed.
    package let standardError: Double
    /// The highest possible bound: the mean of ln(rows of a block) for InfoNCE, nil for SMILE, ln(pairs) for the
    /// others.
    package let ceiling: Double?
    /// Kish's effective number of pairs in E[e^u], (sum of e^u)²/(sum of e^2u): the mean depends on about this many
    /// pairs. nil for InfoNCE, which has no such mean.
    package let effectivePairs: Double?
}

/// Collects blocks of rows and computes a bound. The pairs of a block are all pairs of its rows.
///
/// A block has K rows; u_ij is the score of x i with y j; row i's own pair has u_ii. Every bound is a mean over rows of
/// a term of the own pair, less a function of means over pairs. Its standard error is that of the infinitesimal
/// jackknife (Jaeckel 1972): ψ_i is the change of the bound if row i counted a little more, with all pairs of row i on
/// either side. The error is sqrt(sum ψ_i² / (n(n - 1))). So few rows give a large error, however many pairs they make.
///
/// N pairs of different rows can't show an event of probability below 1/N. So a critic that separates every own pair
/// from all others would reach any bound. Therefore the mean of exponentials includes one more pair, an average own
/// pair: (sum of e^u_ij + mean of e^u_ii)/(N + 1). That bounds the divergence of p(x,y) from (N p(x)p(y) + p(x,y))/(N +
/// 1), which by convexity is below that from p(x)p(y), and below ln(N + 1).
struct BoundStatistics {
    private let estimator: MutualInformationEstimator
    /// Factor of the scores, counted from the estimator's starting score.
    private let scale: Double
    /// By row of this rank: the term of its own pair, and that of its pairs with other rows.
    private var own: [Double] = [], others: [Double] = []
    private var ceilings = 0.0
    private var pairs = 0.0
    /// Sums of exponentials of pairs of different rows, and of their squares. These and `others` are divided by
    /// e^reference, the squares twice.
    private var sum = 0.0, squares = 0.0
    /// The largest exponent so far. It keeps exponentials from overflowing.
    private var reference = -Double.infinity
    private var isFinite = true

    private static let tileScores = 1 << 20

    init(_ estimator: MutualInformationEstimator, scale: Double) {
        self.estimator = estimator
        self.scale = scale
    }

    /// Adds a block of at least 2 rows over all ranks. Collective.
    /// - Parameter write: writes the scores of some of this rank's rows of the block, as x, with all its rows, as y.
    mutating func add(
        shares: Shares, ranks: any Ranks, device: Device, write: (_ rows: Range<Int>, _ tile: Matrix) throws -> Void
    ) throws {
        let rows = shares.total
        let tileRows = min(max(1, Self.tileScores / rows), max(1, shares.own))
        let scores = device.tensor([tileRows, rows], filledWith: 0)
        var columns = [Double](repeating: 0, count: rows)  // the terms of other rows with y j
        let first = others.count
        for start in stride(from: 0, to: shares.own, by: tileRows) {
            let part = start..<min(start + tileRows, shares.own)
            let tile = scores.matrix[rows: 0..<part.count]
            try write(part, tile)
            guard scores.isFinite else {
                isFinite = false
                own += part.map { _ in 0 }
                others += part.map { _ in 0 }
                scores.fill(0)
                continue
            }
            for i in part {
                let row = UnsafeBufferPointer(start: tile.row(i - part.lowerBound), count: rows)
                if estimator == .infoNCE {
                    addSoftmax(row, own: shares.first + i, columns: &columns)
                } else {
                    addExponentials(row, own: shares.first + i, columns: &columns)
                }
            }
        }
        if estimator != .infoNCE {
            raise(to: try ranks.gather([reference], filler: 0).max() ?? reference, columns: &columns)
        }
        columns = try ranks.sum(columns)
        for i in 0..<shares.own {
            others[first + i] += columns[shares.first + i]
            if estimator != .infoNCE { others[first + i] /= Double(rows - 1) }
        }
        pairs += Double(rows) * Double(rows - 1)
    }

    /// Adds ln of the own pair's softmax over all y, divided by 1/K. The softmax is added to the columns.
    private mutating func addSoftmax(_ row: UnsafeBufferPointer<Float>, own index: Int, columns: inout [Double]) {
        let maximum = Double(row.max() ?? 0)
        var total = 0.0
        for u in row { total += exp(scale * (Double(u) - maximum)) }
        own.append(scale * (Double(row[index]) - maximum) - log(total / Double(row.count)))
        others.append(0)
        for (j, u) in row.enumerated() { columns[j] += exp(scale * (Double(u) - maximum)) / total }
        ceilings += log(Double(row.count))
    }

    /// Adds the own pair's score. Exponentials of the others are added to the row and to their columns.
    private mutating func addExponentials(_ row: UnsafeBufferPointer<Float>, own index: Int, columns: inout [Double]) {
        own.append(scaled(row[index]))
        raise(to: exponent(scaled(row.max() ?? 0)), columns: &columns)
        var total = 0.0
        for (j, u) in row.enumerated() where j != index {
            let e = exp(exponent(scaled(u)) - reference)
            total += e
            squares += e * e
            columns[j] += e
        }
        sum += total
        others.append(total)
    }

    /// Makes this exponent the reference if it is larger.
    private mutating func raise(to exponent: Double, columns: inout [Double]) {
        guard exponent > reference else { return }
        let factor = exp(reference - exponent)
        sum *= factor
        squares *= factor * factor
        for i in others.indices { others[i] *= factor }
        for j in columns.indices { columns[j] *= factor }
        reference = exponent
    }

    private func scaled(_ score: Float) -> Double {
        let start = Double(estimator.startingScore)
        return start + scale * (Double(score) - start)
    }

    /// The exponent of a pair of different rows.
    private func exponent(_ score: Double) -> Double {
        switch estimator {
        case .smile: min(max(score, -MutualInformationEstimator.clip), MutualInformationEstimator.clip)
        case .nwj: score - 1
        default: score
        }
    }

    /// The bound of all blocks. Collective; the same on every rank.
    func bound(ranks: any Ranks) throws -> MutualInformationBound {
        let hasOwnPair = estimator != .infoNCE && estimator != .smile
        let ownExponentials = own.map { hasOwnPair ? exp(exponent($0) - reference) : 0 }
        let sums = try ranks.sum([
            Double(own.count), own.reduce(0, +), others.reduce(0, +), sum, squares, ceilings, isFinite ? 0 : 1,
            ownExponentials.reduce(0, +),
        ])
        let rows = sums[0]
        let (meanOwn, meanOthers, meanExponential) = (sums[1] / rows, sums[2] / rows, sums[7] / rows)
        let count = pairs + (hasOwnPair ? 1 : 0)
        let total = sums[3] + meanExponential
        let logMean = reference + log(total / count)
        let nats: Double
        var scale = 1.0  // the bound's slope by the mean of exponentials
        switch estimator {
        case .infoNCE: nats = meanOwn
        case .mine, .donskerVaradhan, .smile:
            nats = meanOwn - logMean
            scale = count / total
        case .nwj, .jensenShannon:
            nats = meanOwn + (estimator == .nwj ? 0 : 1) - exp(logMean)  // jensenShannon: nwj with the score 1 + u
            scale = exp(reference)
        }
        var variance = 0.0
        for i in own.indices {
            let mean =
                estimator == .infoNCE
                ? others[i] - meanOthers
                : (pairs * (others[i] - meanOthers) + ownExponentials[i] - meanExponential) / count
            let influence = own[i] - meanOwn - mean * scale
            variance += influence * influence
        }
        variance = try ranks.sum([variance])[0] / (rows * max(rows - 1, 1))
        let isKnown = sums[6] == 0 && nats.isFinite
        let ceiling: Double? =
            switch estimator {
            case .infoNCE: sums[5] / rows
            case .smile: nil
            default: log(count)
            }
        let squares = sums[4] + meanExponential * meanExponential
        return MutualInformationBound(
            nats: isKnown ? nats : -.infinity,
            standardError: isKnown && variance.isFinite ? variance.squareRoot() : .infinity, ceiling: ceiling,
            effectivePairs: estimator == .infoNCE ? nil : isKnown ? total * total / squares : 0)
    }
}
