// The losses as in the papers, over the whole score tensor in Double. The streaming versions are compared with them.
// Gradients by central differences of these, so that no rule is checked against itself.

import Foundation
import Objectives

/// One of the losses that there are.
struct LossCase: CustomStringConvertible {
    var estimator: Estimator
    var anchor = Anchor.global
    var compatibility = Compatibility.exact

    var description: String { "\(estimator) \(anchor) \(compatibility)" }

    var loss: ContrastiveLoss { ContrastiveLoss(estimator, anchor: anchor, compatibility: compatibility) }

    static let all =
        Anchor.allCases.map { LossCase(estimator: .infoNCE, anchor: $0) }
        + [LossCase(estimator: .infoNCE, compatibility: .published)]
        + Estimator.allCases.filter { $0 != .infoNCE }.map { LossCase(estimator: $0) }

    /// The loss of scores[global i][image j][location p].
    func loss(_ scores: [[[Double]]]) -> Double {
        let n = scores.indices
        let m = scores[0][0].indices
        let positives = n.flatMap { i in m.map { scores[i][i][$0] } }
        let negatives = n.flatMap { i in n.filter { $0 != i }.flatMap { scores[i][$0] } }
        /// The mean value of one function on the positives less that of the other on the negatives, negated.
        func divergence(_ positive: (Double) -> Double, _ negative: (Double) -> Double) -> Double {
            mean(negatives.map(negative)) - mean(positives.map(positive))
        }
        /// e^x with the tangent from e^40 on.
        func e(_ x: Double) -> Double { x <= 40 ? exp(x) : exp(40) * (x - 39) }
        switch estimator {
        case .infoNCE:
            switch anchor {
            case .global:
                // -log e^u_iip / (e^u_iip + sum over j ≠ i and p' of e^u_ijp'); published: own ones too, at -10
                let masked = compatibility == .published ? m.map { _ in -10.0 } : []
                return mean(
                    n.flatMap { i in
                        let others = n.filter { $0 != i }.flatMap { scores[i][$0] } + masked
                        return m.map { p in logSumExp([scores[i][i][p]] + others) - scores[i][i][p] }
                    })
            case .local:
                return mean(n.flatMap { j in m.map { p in logSumExp(n.map { scores[$0][j][p] }) - scores[j][j][p] } })
            case .both:
                return mean([Anchor.global, .local].map { LossCase(estimator: .infoNCE, anchor: $0).loss(scores) })
            }
        case .donskerVaradhan:
            return logSumExp(negatives) - log(Double(negatives.count)) - mean(positives)
        case .jensenShannon: return divergence({ log(2) - softplus(-$0) }, { softplus($0) - log(2) })
        case .nwj: return divergence({ $0 }, { e($0 - 1) })
        case .reverseKL: return divergence({ -e(-$0) }, { $0 - 1 })
        case .squaredHellinger: return divergence({ 1 - e(-$0) }, { e($0) - 1 })
        case .pearsonChiSquared: return divergence({ $0 }, { $0 * $0 / 4 + $0 })
        case .gan: return divergence({ -softplus(-$0) }, { softplus($0) })
        }
    }
}

/// Local maps [N, M, d] and globals [N, d] in Double.
struct DenseBatch {
    let images: Int, locations: Int, dimensions: Int
    var locals: [Double]
    var globals: [Double]

    /// <global i, local (j, p)>
    func score(_ i: Int, _ j: Int, _ p: Int) -> Double {
        let (global, local) = (i * dimensions, (j * locations + p) * dimensions)
        return (0..<dimensions).reduce(0) { sum, k in sum + globals[global + k] * locals[local + k] }
    }

    /// score[i][j][p]
    var scores: [[[Double]]] {
        let (n, m) = (0..<images, 0..<locations)
        return n.map { i in n.map { j in m.map { score(i, j, $0) } } }
    }

    /// By the locals and by the globals, by central differences.
    func gradients(_ item: LossCase) -> (locals: [Double], globals: [Double]) {
        var batch = self
        let step = 1e-5
        func slope(_ path: WritableKeyPath<DenseBatch, [Double]>, _ index: Int) -> Double {
            let value = batch[keyPath: path][index]
            batch[keyPath: path][index] = value + step
            let above = item.loss(batch.scores)
            batch[keyPath: path][index] = value - step
            let below = item.loss(batch.scores)
            batch[keyPath: path][index] = value
            return (above - below) / (2 * step)
        }
        return (locals.indices.map { slope(\.locals, $0) }, globals.indices.map { slope(\.globals, $0) })
    }
}

func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }

func logSumExp(_ values: [Double]) -> Double {
    let largest = values.max() ?? 0
    return largest + log(values.reduce(0) { $0 + exp($1 - largest) })
}

func softplus(_ x: Double) -> Double { max(x, 0) + log1p(exp(-abs(x))) }
