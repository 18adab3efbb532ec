// The total coding rate of many views of an image (EMP-SSL, Tong et al. 2023), exact on any number of ranks: D² sums
// travel for each view.

import Autodiff
import Collectives
import Tensors

extension Tape {
    /// The negative mean over views of the coding rate ½·ln det(I + D/(N·ε)·ZᵀZ), in nats, with Z the vectors of one
    /// view over the global batch, [N, D] (Ma et al. 2007; Tong et al. 2023, equation 2, whose code has ε where the
    /// paper has ε²). It is this rank's part of the sum, a scalar. If all vectors are equal it is
    /// -½·ln(1 + D/ε); the least is -(r/2)·ln(1 + D/(r·ε)) with r the smaller of D and N. Collective.
    ///
    /// The determinant is that of a D x D matrix, for each view, so D should be some hundreds at most.
    ///
    /// - Parameters:
    ///   - views: unit vectors of each view, [n, D] each, a row for each of this rank's images.
    ///   - distortion: ε, above 0.
    package func negativeCodingRate(_ views: [Variable], distortion: Double) throws -> Variable {
        let width = views[0].shape[1]
        let factor = Double(width) / (Double(max(shares.total, 1)) * distortion)  // α
        let grams = device.tensor([views.count * width, width])
        let operands = views.map { device.operand($0.value) }
        for (k, operand) in operands.enumerated() {
            try device.multiply(
                operand.transposed, operand, into: grams.matrix[rows: k * width..<(k + 1) * width])
        }
        try ranks.sum(grams.elements)
        // LAPACK would refuse it, which ends a run; a loss that isn't finite only ends the step.
        guard grams.isFinite else {
            return recordLoss(.nan, gradients: views.map { ($0, device.tensor($0.shape, filledWith: .nan)) })
        }
        grams.scale(by: Float(factor))

        var rate = 0.0
        var gradients: [(Variable, Tensor)] = []
        for (k, view) in views.enumerated() {
            let gram = grams.view(from: k * width * width, shape: [width, width])
            for i in 0..<width { gram.matrix.row(i)[i] += 1 }
            // d ln det(I + αZᵀZ)/dZ = 2α·Z·(I + αZᵀZ)⁻¹
            rate += try invertPositiveDefinite(gram) / 2
            let gradient = device.tensor(view.shape)
            try device.multiply(operands[k], device.operand(gram), into: gradient.matrix)
            gradient.scale(by: Float(-factor / Double(views.count)))
            gradients.append((view, gradient))
        }
        return recordLoss(-fractionOfBatch * rate / Double(views.count), gradients: gradients)
    }
}
