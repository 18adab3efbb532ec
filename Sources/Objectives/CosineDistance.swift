import Autodiff
import Tensors

/// Below this norm a row has no direction.
private let smallestNorm = 1e-12

extension Tape {
    /// 2 - 2·<p, t>/(|p||t|), the squared distance of the rows' directions, in 0...4 (Grill et al. 2020, equation 2).
    /// It is the mean over the global batch, as this rank's part of the sum, a scalar. A pair with a row whose norm is
    /// below 1e-12 counts 2, as if at right angles, and has no gradient.
    ///
    /// - Parameters:
    ///   - p: this rank's predictions, [n, D], a row for each image.
    ///   - t: the targets, of the same shape; constants if they must not move.
    package func cosineDistance(_ p: Variable, _ t: Variable) -> Variable { oneMinusCosine(p, t, times: 2) }

    /// -<p, t>/(|p||t|), in -1...1 (Chen & He 2021, equation 1): the mean over the global batch, as this rank's part of
    /// the sum, a scalar. A pair with a row whose norm is below 1e-12 counts 0, and has no gradient.
    ///
    /// - Parameters:
    ///   - p: this rank's predictions, [n, D], a row for each image.
    ///   - t: the targets, of the same shape; constants if they must not move.
    package func negativeCosine(_ p: Variable, _ t: Variable) -> Variable {
        weightedSum([
            (oneMinusCosine(p, t, times: 1), 1), (constant(device.tensor([1], [Float(fractionOfBatch)])), -1),
        ])
    }

    private func oneMinusCosine(_ p: Variable, _ t: Variable, times factor: Double) -> Variable {
        let (a, b) = (p.value.matrix, t.value.matrix)
        let scale = factor / Double(max(shares.total, 1))
        var sum = 0.0
        var factors: [(product: Double, p: Double, t: Double)] = []  // 1/(|p||t|), cosine/|p|², cosine/|t|²
        for ((product, pp), tt) in zip(zip(a.rowProducts(b), a.rowProducts(a)), b.rowProducts(b)) {
            if min(pp, tt) < smallestNorm * smallestNorm, product.isFinite {
                sum += 1
                factors.append((0, 0, 0))
            } else {
                let inverse = 1 / (pp * tt).squareRoot()
                sum += 1 - product * inverse
                factors.append((inverse, product * inverse / pp, product * inverse / tt))
            }
        }
        /// -scale·(other/(|p||t|) - cosine·own/|own|²), where a gradient is wanted.
        func gradient(by own: Variable, _ other: Matrix, _ cosines: [Double]) -> [(Variable, Tensor)] {
            guard needsGradient(own) else { return [] }
            let result = device.tensor(own.shape)
            result.matrix.setRows(of: other, times: factors.map { Float(-scale * $0.product) })
            result.matrix.addRows(of: own.value.matrix, times: cosines.map { Float(scale * $0) })
            return [(own, result)]
        }
        return recordLoss(
            sum * scale,
            gradients: gradient(by: p, b, factors.map(\.p)) + gradient(by: t, a, factors.map(\.t)))
    }
}
