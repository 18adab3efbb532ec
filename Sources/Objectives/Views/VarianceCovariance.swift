// The regularisation of VICReg (Bardes et al. 2022), which keeps codes from collapsing without negatives, exact on any
// number of ranks: for each view D means and D² sums of products travel.

import Autodiff
import Collectives
import Tensors

extension Tape {
    /// The variance and covariance terms of two views (Bardes et al. 2022, equations 1 to 4), with the batch's
    /// covariance C = sum of (z - mean)(z - mean)ᵀ/(N - 1) of each view. They are this rank's parts of the sums, scalars.
    /// Collective.
    ///
    /// `variance` is the mean over both views and the D dimensions of max(0, 1 - sqrt(Cᵢᵢ + 1e-4)): 0.99 where all codes
    /// are equal. `covariance` is the sum over both views of sum over i ≠ j of Cᵢⱼ², divided by D. The published code
    /// divides the first by the number of views and the second not.
    ///
    /// - Parameter views: vectors of each view, [n, D] each, a row for each of this rank's images.
    package func varianceAndCovariance(_ views: [Variable]) throws -> (variance: Variable, covariance: Variable) {
        let width = views[0].shape[1]
        let images = Double(max(shares.total, 1))
        let inverse = 1 / max(images - 1, 1)
        let sums = try ranks.sum(views.flatMap { $0.value.matrix.columnSums() })
        let centred = views.enumerated().map { k, view in
            let result = device.tensor(view.shape)
            result.copy(from: view.value)
            let mean = device.tensor([width], sums[k * width..<(k + 1) * width].map { Float(-$0 / images) })
            result.matrix.addToRows(mean.base)
            return result
        }
        let covariances = device.tensor([views.count, width, width])
        let operands = centred.map(device.operand)
        for (k, operand) in operands.enumerated() {
            try device.multiply(operand.transposed, operand, into: matrix(k, of: covariances))
        }
        try ranks.sum(covariances.elements)
        covariances.scale(by: Float(inverse))

        var (variance, covariance) = (0.0, 0.0)
        var (byVariance, byCovariance): ([(Variable, Tensor)], [(Variable, Tensor)]) = ([], [])
        for (k, view) in views.enumerated() {
            let matrix = matrix(k, of: covariances)  // C, then without its diagonal
            var factors = [Float](repeating: 0, count: width)
            for i in 0..<width {
                let deviation = (Double(matrix.row(i)[i]) + 1e-4).squareRoot()
                variance += max(0, 1 - deviation)
                // d variance/dz = (z - mean)·factor by dimension
                if deviation < 1 {
                    factors[i] = Float(-inverse / (deviation * Double(width * views.count)))
                }
                matrix.row(i)[i] = 0
            }
            covariance += matrix.rowProducts(matrix).reduce(0, +)
            let scaled = device.tensor(view.shape)
            scaled.matrix.setAffine(
                of: centred[k].matrix, scale: factors, shift: [Float](repeating: 0, count: width), rectified: false)
            byVariance.append((view, scaled))
            // d covariance/dz = (4/D(N - 1))·(z - mean)·C without its diagonal
            let product = device.tensor(view.shape)
            try device.multiply(operands[k], device.operand(matrix), into: product.matrix)
            product.scale(by: Float(4 * inverse / Double(width)))
            byCovariance.append((view, product))
        }
        let own = fractionOfBatch
        return (
            recordLoss(own * variance / Double(width * views.count), gradients: byVariance),
            recordLoss(own * covariance / Double(width), gradients: byCovariance)
        )
    }

    private func matrix(_ index: Int, of stack: Tensor) -> Matrix {
        let (rows, columns) = (stack.shape[1], stack.shape[2])
        return stack.view(from: index * rows * columns, shape: [rows, columns]).matrix
    }

    /// The mean over the global batch and the D dimensions of (first - second)², as this rank's part of the sum, a
    /// scalar: the invariance term of VICReg (Bardes et al. 2022, equation 5). Gradients reach both. Not collective.
    ///
    /// - Parameters:
    ///   - first: [n, D], a row for each of this rank's images.
    ///   - second: of the same shape.
    package func meanSquaredDifference(_ first: Variable, _ second: Variable) -> Variable {
        let scale = 1 / (Double(max(shares.total, 1)) * Double(max(first.shape[1], 1)))
        let difference = device.tensor(first.shape)
        difference.setToSum(of: first.value, second.value, times: -1)
        let sum = difference.matrix.rowProducts(difference.matrix).reduce(0, +)
        let (byFirst, bySecond) = (device.tensor(first.shape), device.tensor(first.shape))
        byFirst.copy(from: difference)
        byFirst.scale(by: Float(2 * scale))
        bySecond.copy(from: difference)
        bySecond.scale(by: Float(-2 * scale))
        return recordLoss(sum * scale, gradients: [(first, byFirst), (second, bySecond)])
    }
}
