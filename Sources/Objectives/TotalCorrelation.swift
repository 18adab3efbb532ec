// The total correlation of a code's dimensions, KL(q(z) || product of q(z_j)), by a discriminator with two logits a
// row: class 0 for codes as they are, class 1 for codes whose dimensions were permuted (Kim & Mnih 2018).

import Autodiff
import Collectives
import Tensors

/// This rank's rows of the global batch after each column was permuted over all rows, by its own permutation. They are
/// samples of the product of the marginals (Kim & Mnih 2018, algorithm 1), the same at any number of ranks. Collective;
/// there is no gradient.
///
/// - Parameters:
///   - z: this rank's rows, [n, Z]; the ranks' parts in order are the batch.
///   - shares: how that batch is divided among ranks.
///   - stream: the random stream of a column's permutation; the same on every rank.
package func permutedColumns(
    _ z: Tensor, shares: Shares, device: Device, ranks: any Ranks, stream: (_ column: Int) -> RandomStream
) throws -> Tensor {
    let width = z.shape[1]
    let whole = try ranks.gatherRows(z, shares: shares, device: device)
    let result = device.tensor(z.shape)
    for column in 0..<width {
        var stream = stream(column)
        let order = stream.permutation(of: shares.total)
        for row in 0..<shares.own {
            result.matrix.row(row)[column] = whole.matrix.row(Int(order[shares.first + row]))[column]
        }
    }
    return result
}

// Every batch below has as many rows over all ranks as the tape's, `shares.total`. A rank may have another number of
// rows of the permuted batch. None of these functions is collective.
extension Tape {
    /// E[ln D(z) - ln(1 - D(z))], the estimate of the total correlation in nats (Kim & Mnih 2018, equation 3). It is
    /// the mean over the global batch of logit 0 - logit 1, as this rank's part of the sum, a scalar.
    ///
    /// - Parameter logits: the discriminator's logits of this rank's codes, [n, 2].
    package func totalCorrelation(_ logits: Variable) -> Variable {
        let scale = 1 / Double(max(shares.total, 1))
        let slopes = device.tensor(logits.shape)
        var sum = 0.0
        for r in 0..<logits.shape[0] {
            let (row, slope) = (logits.value.matrix.row(r), slopes.matrix.row(r))
            sum += Double(row[0]) - Double(row[1])
            (slope[0], slope[1]) = (Float(scale), -Float(scale))
        }
        return recordLoss(sum * scale, gradients: [(logits, slopes)])
    }

    /// The discriminator's loss, ½·(cross entropy of both kinds), as this rank's part of the sum, a scalar. It is ln 2
    /// for a discriminator that guesses (Kim & Mnih 2018, algorithm 2).
    ///
    /// - Parameters:
    ///   - joint: logits of this rank's codes, [n, 2].
    ///   - permuted: logits of this rank's permuted codes, [m, 2].
    package func discriminatorLoss(joint: Variable, permuted: Variable) -> Variable {
        weightedSum(
            [(joint, 0), (permuted, 1)].map { logits, label in
                (crossEntropy(logits, labels: Array(repeating: label, count: logits.shape[0])), 0.5)
            })
    }

    /// The fraction of both kinds that the discriminator classifies correctly, in 0...1, as this rank's part of the
    /// sum. Rows with equal logits count half. Logits as in `discriminatorLoss`.
    package func discriminatorAccuracy(joint: Tensor, permuted: Tensor) -> Double {
        /// Rows whose logit `label` is the larger one.
        func correct(_ logits: Tensor, _ label: Int) -> Double {
            (0..<logits.shape[0]).reduce(0) { sum, r in
                let row = logits.matrix.row(r)
                return sum + (row[label] > row[1 - label] ? 1 : row[label] == row[1 - label] ? 0.5 : 0)
            }
        }
        return (correct(joint, 0) + correct(permuted, 1)) / Double(max(2 * shares.total, 1))
    }
}
