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

    /// One update of some elements.
    /// - Parameters:
    ///   - momentum: sums of past gradients, [count].
    ///   - ratios: for LARS, the trust ratio of each parameter, in order.
    ///   - ranges: the elements to move.
    static func update(
        _ parameters: ParameterSet, momentum: Tensor, _ settings: OptimiserSettings, rate: Double, ratios: [Double]?,
        in ranges: [Range<Int>]
    ) {
        for (part, index) in parameters.parts(of: ranges) {
            updateByMomentum(
                parameters.values.base, gradient: parameters.gradients.base, momentum: momentum.base, in: part,
                decay: Float(parameters.parameters[index].decays ? settings.weightDecay : 0),
                ratio: Float(ratios?[index] ?? 1), kept: Float(settings.momentum), rate: Float(rate),
                looksAhead: settings.nesterov)
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

    /// The trust ratio of each parameter: trust·|w|/(|g| + weightDecay·|w|), but at most the rate, divided by the rate. It
    /// is 1 for arrays of one axis, and where a norm is 0.
    /// - Parameter squares: those of whole arrays.
    static func ratios(
        _ parameters: ParameterSet, squares: [Double], _ settings: OptimiserSettings, rate: Double
    ) -> [Double] {
        parameters.parameters.enumerated().map { index, parameter in
            let (weight, gradient) = (squares[2 * index].squareRoot(), squares[2 * index + 1].squareRoot())
            guard parameter.decays, weight > 0, gradient > 0 else { return 1 }
            let local = settings.trust * weight / (gradient + settings.weightDecay * weight + 1e-8)
            return min(local / rate, 1)
        }
    }
}
