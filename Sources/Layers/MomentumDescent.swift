import Collectives
import Tensors

/// Gradient descent with momentum, and with LARS's rates by array.
///
/// With g the gradient plus weightDecay·w, the sum of past gradients is m ← momentum·m + g, and w moves by -rate·m, or
/// by -rate·(g + momentum·m) with nesterov, as in PyTorch's SGD. LARS first multiplies g by the array's trust ratio (You
/// et al. 2017, algorithm 1).
enum MomentumDescent {
    /// Names, in checkpoints, of the arrays kept for each parameter.
    static let slotNames = ["momentum"]

    /// The numbers of one array: its gradient g is replaced by ratio·(g + decay·w).
    struct Scale {
        let ratio, decay: Double
    }

    /// One update of some elements.
    /// - Parameters:
    ///   - momentum: sums of past gradients, [count].
    ///   - scales: of each parameter, in order.
    ///   - ranges: the elements to move.
    static func update(
        _ parameters: ParameterSet, momentum: Tensor, _ settings: OptimiserSettings, rate: Double, scales: [Scale],
        in ranges: [Range<Int>]
    ) {
        for (part, index) in parameters.parts(of: ranges) {
            updateByMomentum(
                parameters.values.base, gradient: parameters.gradients.base, momentum: momentum.base, in: part,
                decay: Float(scales[index].decay), ratio: Float(scales[index].ratio), kept: Float(settings.momentum),
                rate: Float(rate), looksAhead: settings.nesterov)
        }
    }

    /// The squares of the norms of each parameter and of its gradient, [2·parameters], over some elements.
    static func squares(_ parameters: ParameterSet, in ranges: [Range<Int>]) -> [Double] {
        var sums = [Double](repeating: 0, count: 2 * parameters.parameters.count)
        for (part, index) in parameters.parts(of: ranges) {
            for (offset, flat) in [parameters.values, parameters.gradients].enumerated() {
                let matrix = flat.view(from: part.lowerBound, shape: [1, part.count]).matrix
                sums[2 * index + offset] += matrix.rowProducts(matrix)[0]
            }
        }
        return sums
    }

    /// The scale of each parameter.
    ///
    /// LARS has the local rate λ = trustCoefficient·|w|/(|g| + weightDecay·|w| + 1e-8). The ratio is min(λ/rate, 1) with clip, so
    /// that the array moves by λ or by the rate, whichever is less, and λ without. Arrays of one axis, and those of norm
    /// 0 or without a gradient, move as with SGD without decay (solo-learn's LARS).
    /// - Parameter squares: for LARS, those of whole arrays.
    static func scales(
        _ parameters: ParameterSet, squares: [Double], _ settings: OptimiserSettings, rate: Double
    ) -> [Scale] {
        parameters.parameters.enumerated().map { index, parameter in
            guard parameter.decays else { return Scale(ratio: 1, decay: 0) }
            guard settings.kind == .lars else { return Scale(ratio: 1, decay: settings.weightDecay) }
            let (weight, gradient) = (squares[2 * index].squareRoot(), squares[2 * index + 1].squareRoot())
            guard weight > 0, gradient > 0 else { return Scale(ratio: 1, decay: 0) }
            let local = settings.trustCoefficient * weight / (gradient + settings.weightDecay * weight + 1e-8)
            return Scale(ratio: settings.clip ? min(local / rate, 1) : local, decay: settings.weightDecay)
        }
    }
}
