// Redundancy reduction between two views (Barlow Twins, Zbontar et al. 2021), exact on any number of ranks: D² sums
// travel.

import Autodiff
import Collectives
import Tensors

extension Tape {
    /// Sum over i of (1 - Cᵢᵢ)² + λ·sum over i ≠ j of Cᵢⱼ² (Zbontar et al. 2021, equations 1 and 2), with C the
    /// correlation over the global batch of dimension i in the first views with dimension j in the second. It is this
    /// rank's part of the sum, a scalar. Where no dimension varies it is D; where the views are independent of each
    /// other, about D·(1 + 1/N) + λ·D·(D - 1)/N. Collective, in both directions.
    ///
    /// Dimensions are standardised by the batch's mean and variance plus 1e-5, as by a batch norm. So for equal views
    /// Cᵢᵢ is var/(var + 1e-5).
    ///
    /// - Parameters:
    ///   - first: vectors of the first views, [n, D], a row for each of this rank's images.
    ///   - second: those of the second views.
    ///   - redundancyWeight: λ.
    package func barlowTwins(_ first: Variable, _ second: Variable, redundancyWeight: Double) throws -> Variable {
        let width = first.shape[1]
        let (one, zero) = (
            constant(device.tensor([width], filledWith: 1)), constant(device.tensor([width], filledWith: 0))
        )
        func standardised(_ z: Variable) throws -> Variable {
            try batchNorm(z, scale: one, shift: zero, rectified: false, scope: .sync).y
        }
        let (a, b) = (try standardised(first), try standardised(second))
        let images = Float(max(shares.total, 1))
        let correlation = device.tensor([width, width])  // C
        let (left, right) = (device.operand(a.value), device.operand(b.value))
        try device.multiply(left.transposed, right, into: correlation.matrix)
        correlation.scale(by: 1 / images)
        try ranks.sum(correlation.elements)

        let slope = correlation  // dL/dC replaces C
        var loss = 0.0
        for i in 0..<width {
            let row = slope.matrix.row(i)
            let diagonal = Double(row[i])
            loss += (1 - diagonal) * (1 - diagonal) - redundancyWeight * diagonal * diagonal
            var squares: Float = 0
            for j in 0..<width {
                squares += row[j] * row[j]
                row[j] *= Float(2 * redundancyWeight)
            }
            loss += redundancyWeight * Double(squares)
            row[i] = Float(-2 * (1 - diagonal))
        }
        slope.scale(by: 1 / images)
        let slopes = device.operand(slope)
        let (byFirst, bySecond) = (device.tensor(a.shape), device.tensor(b.shape))
        try device.multiply(right, slopes.transposed, into: byFirst.matrix)
        try device.multiply(left, slopes, into: bySecond.matrix)
        return recordLoss(loss * fractionOfBatch, gradients: [(a, byFirst), (b, bySecond)])
    }

    /// This rank's part of a number that every rank knows whole: its fraction of the global batch.
    var fractionOfBatch: Double { Double(shares.own) / Double(max(shares.total, 1)) }
}
