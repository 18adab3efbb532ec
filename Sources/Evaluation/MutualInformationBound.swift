import Autodiff
import Collectives
import Foundation
import Tensors

/// A bound's value on rows that its critic was not trained on, and how much of it may be chance.
package struct MutualInformationBound: Sendable {
    /// The bound. Below 0 where a critic is worse than one that scores all pairs alike.
    package let nats: Double
    /// Of the bound over draws of the rows, for this critic.
    package let standardError: Double
    /// Above this the bound can't come: the mean of ln(rows of a block) for InfoNCE, nil for the others.
    package let ceiling: Double?
    /// Kish's effective number of the pairs of different rows, (sum of e^u)²/(sum of e^2u): so few carry their mean.
    /// nil for InfoNCE, which has no such mean.
    package let effectivePairs: Double?
}

/// Takes in blocks of rows and makes a bound of them. The pairs of a block are all pairs of its rows.
///
/// K rows a block; u_ij the score of x i with y j; i's own pair is u_ii. Every bound is a mean over rows of what a row's
/// own pair gives, less a function of means over pairs. Its standard error is that of the infinitesimal jackknife
/// (Jaeckel 1972): by how much would the bound move if row i counted a little more, ψ_i, with all pairs that row
/// i is in on either side; then sqrt(sum ψ_i² / (n(n - 1))). So few rows give a large error, however many pairs they make.
struct BoundStatistics {
    private let estimator: MutualInformationEstimator
    /// What scores are multiplied by, counted from the estimator's starting score.
    private let scale: Double
    /// By row of this rank: what its own pair gives, and what the pairs do that it is in with other rows.
    private var own: [Double] = [], others: [Double] = []
    private var ceilings = 0.0
    private var pairs = 0.0
    private var sum = 0.0, squares = 0.0

    /// Scores above this count as this, so that squares of their exponentials stay finite.
    private static let largestScore = 300.0
    private static let tileScores = 1 << 20

    init(_ estimator: MutualInformationEstimator, scale: Double) {
        self.estimator = estimator
        self.scale = scale
    }

    /// Takes in a block of at least 2 rows over all ranks. Collective.
    /// - Parameter write: writes the scores of some of this rank's rows of the block, as x, with all its rows, as y.
    mutating func add(
        shares: Shares, ranks: any Ranks, device: Device, write: (_ rows: Range<Int>, _ tile: Matrix) throws -> Void
    ) throws {
        let rows = shares.total
        let tileRows = min(max(1, Self.tileScores / rows), max(1, shares.own))
        let scores = device.tensor([tileRows, rows])
        var columns = [Double](repeating: 0, count: rows)  // what others give to row j as a y
        let first = others.count
        for start in stride(from: 0, to: shares.own, by: tileRows) {
            let part = start..<min(start + tileRows, shares.own)
            let tile = scores.matrix[rows: 0..<part.count]
            try write(part, tile)
            for i in part {
                let row = UnsafeBufferPointer(start: tile.row(i - part.lowerBound), count: rows)
                if estimator == .infoNCE {
                    addSoftmax(row, place: shares.first + i, columns: &columns)
                } else {
                    addExponentials(row, place: shares.first + i, columns: &columns)
                }
            }
        }
        columns = try ranks.sum(columns)
        for i in 0..<shares.own {
            others[first + i] += columns[shares.first + i]
            if estimator != .infoNCE { others[first + i] /= Double(rows - 1) }
        }
        pairs += Double(rows) * Double(rows - 1)
    }

    /// ln of the own pair's softmax over all y, against 1/K; the softmax goes to the columns.
    private mutating func addSoftmax(_ row: UnsafeBufferPointer<Float>, place: Int, columns: inout [Double]) {
        let maximum = Double(row.max() ?? 0)
        var total = 0.0
        for u in row { total += exp(scale * (Double(u) - maximum)) }
        own.append(scale * (Double(row[place]) - maximum) - log(total / Double(row.count)))
        others.append(0)
        for (j, u) in row.enumerated() { columns[j] += exp(scale * (Double(u) - maximum)) / total }
        ceilings += log(Double(row.count))
    }

    /// The own pair's score; exponentials of the others go to the row and to their columns.
    private mutating func addExponentials(_ row: UnsafeBufferPointer<Float>, place: Int, columns: inout [Double]) {
        own.append(scaled(row[place]))
        var total = 0.0
        for (j, u) in row.enumerated() where j != place {
            let e = exp(exponent(scaled(u)))
            total += e
            squares += e * e
            columns[j] += e
        }
        sum += total
        others.append(total)
    }

    private func scaled(_ score: Float) -> Double {
        let start = Double(estimator.startingScore)
        return start + scale * (Double(score) - start)
    }

    /// The exponent of a pair of different rows.
    private func exponent(_ score: Double) -> Double {
        switch estimator {
        case .smile: min(max(score, -MutualInformationEstimator.clip), MutualInformationEstimator.clip)
        case .nwj: min(score, Self.largestScore) - 1
        default: min(score, Self.largestScore)
        }
    }

    /// The bound of all blocks. Collective; the same on every rank.
    func bound(ranks: any Ranks) throws -> MutualInformationBound {
        let sums = try ranks.sum([
            Double(own.count), own.reduce(0, +), others.reduce(0, +), sum, squares, ceilings,
        ])
        let rows = sums[0]
        let (meanOwn, meanOthers) = (sums[1] / rows, sums[2] / rows)
        let mean = sums[3] / pairs  // of exponentials over pairs of different rows
        let nats: Double
        var scale = 1.0  // of what the others' mean does to the bound
        switch estimator {
        case .infoNCE: nats = meanOwn
        case .mine, .donskerVaradhan, .smile:
            nats = meanOwn - log(mean)
            scale = 1 / mean
        case .nwj: nats = meanOwn - mean
        case .jensenShannon: nats = meanOwn + 1 - mean  // nwj of the score 1 + u
        }
        var variance = 0.0
        for (own, others) in zip(own, others) {
            let influence = own - meanOwn - (others - meanOthers) * scale
            variance += influence * influence
        }
        variance = try ranks.sum([variance])[0] / (rows * max(rows - 1, 1))
        return MutualInformationBound(
            nats: nats, standardError: variance.squareRoot(),
            ceiling: estimator == .infoNCE ? sums[5] / rows : nil,
            effectivePairs: estimator == .infoNCE ? nil : sums[4] > 0 ? sums[3] * sums[3] / sums[4] : 0)
    }
}
