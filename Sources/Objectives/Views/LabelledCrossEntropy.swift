import Autodiff
import Collectives
import Tensors

extension Tape {
    /// The mean of -ln softmax(logits)[label] over all views of the labelled images of the global batch, as this rank's
    /// part of the sum, a scalar; 0 where no image has a label. Collective.
    ///
    /// - Parameters:
    ///   - logits: [views·n, K]; view k of this rank's i-th image is row k·n + i.
    ///   - labels: [n], in 0..<K, or negative for an image without a label.
    package func labelledCrossEntropy(_ logits: Variable, labels: [Int32]) throws -> Variable {
        let images = max(labels.count, 1)
        let views = logits.shape[0] / images
        let labelled = try ranks.sum([labels.filter { $0 >= 0 }.count])[0]
        let scale = 1 / Float(max(labelled * max(views, 1), 1))
        let gradient = device.tensor(logits.shape)
        gradient.copy(from: logits.value)
        var loss = 0.0
        for (row, logarithm) in gradient.matrix.logSumExpOfRows().enumerated() {
            let label = Int(labels[row % images])
            if label >= 0 { loss += logarithm - Double(gradient.matrix.row(row)[label]) }
        }
        _ = gradient.matrix.replaceBySoftmaxOfRows(scale: scale)
        for row in 0..<gradient.matrix.rows {
            let label = Int(labels[row % images])
            if label >= 0 {
                gradient.matrix.row(row)[label] -= scale
            } else {
                gradient.matrix.row(row).update(repeating: 0, count: gradient.matrix.columns)
            }
        }
        return recordLoss(loss * Double(scale), gradients: [(logits, gradient)])
    }
}
