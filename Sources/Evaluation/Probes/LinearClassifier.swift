import Collectives
import Tensors

/// Rows of this rank with their labels.
package struct LabelledRows {
    /// [rows, dimension]
    let values: Tensor
    let labels: [Int]

    package init(values: Tensor, labels: [Int]) {
        self.values = values
        self.labels = labels
    }
}

/// The loss of a linear classifier for a row of scores u = Wx + b.
package enum LinearLoss: Sendable {
    /// -log softmax(u)[label]: multinomial logistic regression.
    case logistic
    /// Sum over classes k of max(0, 1 - y·u[k])², y = 1 for the label and -1 for the others: the one-vs-rest support
    /// vector machine of liblinear and scikit-learn's LinearSVC.
    case squaredHinge
}

/// A linear classifier with a squared penalty: mean over all ranks' rows of the loss + penalty/2·|W|².
///
/// On n rows, liblinear's C is 1/(penalty·n). Here the bias has no penalty.
package final class LinearClassifier {
    // d dimensions, K classes, B rows of a block x [B, d], W [K, d], b [K]; the minimiser's variables are W, row after
    // row, and then b. Kernels work on sixteen columns at a time. The columns are filled up with classes that have no
    // rows and probability 0.

    private let loss: LinearLoss
    private let parts: [LabelledRows]
    private let dimension: Int
    private let classes: Int
    private let rows: Int
    private let ranks: any Ranks
    private let weights: Tensor
    private let bias: Tensor
    private let weightGradient: Tensor
    private let logits: Tensor
    /// The gradient of all variables and then the loss, to be summed over ranks in one call.
    private var sums: [Double]

    private static let blockOfRows = 1024

    /// Collective. `parts` together hold at least one row on some rank. Their memory isn't copied.
    package init(
        _ loss: LinearLoss, _ parts: [LabelledRows], dimension: Int, classes: Int, ranks: any Ranks, device: Device
    ) throws {
        self.loss = loss
        self.parts = parts
        self.dimension = dimension
        self.classes = classes
        self.ranks = ranks
        rows = try ranks.sum([parts.reduce(0) { $0 + $1.labels.count }])[0]
        let columns = (classes + 15) / 16 * 16
        weights = device.tensor([columns, dimension], filledWith: 0)
        bias = device.tensor([columns], filledWith: excludedScore)
        weightGradient = device.tensor([columns, dimension])
        logits = device.tensor([Self.blockOfRows, columns])
        sums = Array(repeating: 0, count: classes * (dimension + 1) + 1)
    }

    /// The variables of the model that is 0 everywhere.
    package static func start(dimension: Int, classes: Int) -> [Double] {
        Array(repeating: 0, count: classes * (dimension + 1))
    }

    /// The minimum, to the settings' tolerance, or the best point after their steps. Collective; the same bits on every
    /// rank.
    package func minimum(
        from start: [Double], penalty: Double, settings: MinimiserSettings
    ) throws -> (variables: [Double], iterations: Int, isOutOfSteps: Bool) {
        let result = try minimise(from: start, settings: settings) {
            try self.evaluate($0, gradient: $1, penalty: penalty)
        }
        return (result.x, result.iterations, result.isOutOfSteps)
    }

    /// The loss at `x`, and its gradient. Collective; the same bits on every rank.
    package func evaluate(
        _ x: UnsafeBufferPointer<Double>, gradient: UnsafeMutableBufferPointer<Double>, penalty: Double
    ) throws -> Double {
        setModel(x)
        let own = try sumOverOwnRows()
        let weightCount = classes * dimension
        for i in 0..<weightCount { sums[i] = Double(weightGradient.base[i]) }
        for k in 0..<classes { sums[weightCount + k] = own.biasGradient[k] }
        sums[x.count] = own.loss
        try sums.withUnsafeMutableBufferPointer { try ranks.sum($0) }

        var loss = sums[x.count]
        for i in 0..<weightCount {
            loss += penalty / 2 * x[i] * x[i]
            gradient[i] = sums[i] + penalty * x[i]
        }
        for i in weightCount..<x.count { gradient[i] = sums[i] }
        guard loss.isFinite else {
            throw InputError("the linear probe's loss is \(loss), because the features are too large: scale them down")
        }
        return loss
    }

    /// Number of this rank's rows that a model classifies correctly.
    package func correct(of part: LabelledRows, with variables: [Double]) throws -> Int {
        variables.withUnsafeBufferPointer { setModel($0) }
        var correct = 0
        try forEachBlock(of: part) { logits, _, labels in
            correct += zip(logits.largestColumns(of: classes), labels).reduce(0) { $0 + ($1.0 == $1.1 ? 1 : 0) }
        }
        return correct
    }

    private func setModel(_ variables: UnsafeBufferPointer<Double>) {
        let weightCount = classes * dimension
        for i in 0..<weightCount { weights.base[i] = Float(variables[i]) }
        for k in 0..<classes { bias.base[k] = Float(variables[weightCount + k]) }
    }

    /// This rank's part of the mean loss. Leaves its part of the gradient by W in `weightGradient`.
    private func sumOverOwnRows() throws -> (loss: Double, biasGradient: [Double]) {
        weightGradient.fill(0)
        var loss = 0.0
        var biasGradient = [Double](repeating: 0, count: bias.count)
        let scale = 1 / Float(rows)
        for part in parts {
            try forEachBlock(of: part) { logits, x, labels in
                loss += self.loss.replaceBySlopes(logits, labels: labels, scale: scale)
                try multiply(logits.transposed, x, into: weightGradient.matrix, adding: true)
                for (k, sum) in logits.columnSums().enumerated() { biasGradient[k] += sum }
            }
        }
        return (loss / Double(rows), biasGradient)
    }

    /// Calls `body` with logits, values and labels of at most `blockOfRows` rows at a time.
    private func forEachBlock(
        of part: LabelledRows, _ body: (_ logits: Matrix, _ x: Matrix, _ labels: ArraySlice<Int>) throws -> Void
    ) throws {
        for start in stride(from: 0, to: part.labels.count, by: Self.blockOfRows) {
            let rows = start..<min(start + Self.blockOfRows, part.labels.count)
            let (x, logits) = (part.values.matrix[rows: rows], logits.matrix[rows: 0..<rows.count])
            try multiply(x, weights.matrix.transposed, into: logits)
            logits.addToRows(bias.base)
            try body(logits, x, part.labels[rows])
        }
    }
}

extension LinearLoss {
    /// Replaces each row of scores by the gradient of its loss, times `scale`. Returns the sum of the losses.
    fileprivate func replaceBySlopes(_ scores: Matrix, labels: ArraySlice<Int>, scale: Float) -> Double {
        var loss = 0.0
        switch self {
        case .logistic:
            for (r, label) in labels.enumerated() { loss -= Double(scores.row(r)[label]) }
            loss += scores.replaceBySoftmaxOfRows(scale: scale)
            for (r, label) in labels.enumerated() { scores.row(r)[label] -= scale }
        case .squaredHinge:
            let own = labels.enumerated().map { r, label in scores.row(r)[label] }
            loss += scores.replaceBySquaredHinge(scale: scale)
            for (r, label) in labels.enumerated() {
                let (wrong, right) = (max(0, 1 + own[r]), max(0, 1 - own[r]))
                loss += Double(right * right) - Double(wrong * wrong)
                scores.row(r)[label] = -2 * scale * right
            }
        }
        return loss
    }
}
