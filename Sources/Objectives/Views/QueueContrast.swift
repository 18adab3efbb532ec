// The contrastive loss with a queue of earlier keys as negatives (MoCo, He et al. 2020). The queue is the same on every
// rank, so nothing travels here.

import Autodiff
import Collectives
import Tensors

extension Tape {
    /// The mean over the global batch of -ln softmax over [k⁺, queue] of <q, k>/τ at k⁺ (He et al. 2020, equation 1),
    /// as this rank's part of the sum, a scalar. Only the queries get a gradient. If all vectors are equal it is
    /// ln(K + 1). Not collective.
    ///
    /// - Parameters:
    ///   - queries: unit vectors, [n, D], a row for each of this rank's images.
    ///   - keys: unit vectors of other views of the same images, [n, D].
    ///   - queue: earlier keys, [K, D]; K may be 0 while it fills.
    ///   - temperature: τ, above 0.
    ///   - tileScores: about the number of scores in memory at once.
    package func queueContrast(
        _ queries: Variable, keys: Tensor, queue: Tensor, temperature: Double, tileScores: Int = 1 << 21
    ) throws -> Variable {
        let inverse = Float(1 / temperature)
        let (images, negatives) = (queries.shape[0], queue.shape[0])
        let scaled = device.tensor(queries.shape)
        scaled.copy(from: queries.value)
        scaled.scale(by: inverse)
        let (rows, columns) = (device.operand(scaled), device.operand(queue))
        let positives = scaled.matrix.rowProducts(keys.matrix)
        let gradient = device.tensor(queries.shape, filledWith: 0)
        let scale = 1 / Double(max(shares.total, 1))
        let tileRows = max(1, min(images, tileScores / (negatives + 1)))
        let buffer = device.tensor([tileRows, negatives + 1])  // the last column is the positive
        var loss = 0.0
        for start in stride(from: 0, to: images, by: tileRows) {
            let tile = start..<min(start + tileRows, images)
            let scores = buffer.matrix[rows: 0..<tile.count]
            let others = scores[columns: 0..<negatives]
            if negatives > 0 { try device.multiply(rows[rows: tile], columns.transposed, into: others) }
            for (r, image) in tile.enumerated() {
                scores.row(r)[negatives] = Float(positives[image])
                loss -= positives[image]
            }
            loss += scores.replaceBySoftmaxOfRows(scale: Float(scale) * inverse)
            let slopes = gradient.matrix[rows: tile]
            if negatives > 0 { try device.multiply(device.operand(others), columns, into: slopes) }
            let byPositive = (0..<tile.count).map { scores.row($0)[negatives] - Float(scale) * inverse }
            slopes.addRows(of: keys.matrix[rows: tile], times: byPositive)
        }
        return recordLoss(loss * scale, gradients: [(queries, gradient)])
    }
}
