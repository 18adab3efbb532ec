import Tensors

/// Adam (Kingma & Ba 2015, algorithm 1) over a flat array of parameters.
package final class Adam {
    /// Names of the moments in checkpoints.
    static let slotNames = ["first_moment", "second_moment"]

    private let settings: OptimiserSettings
    /// First and second moments, [count].
    package let mean: Tensor, square: Tensor
    /// Updates made, for the correction of the moments' bias.
    package private(set) var updates = 0

    package init(_ settings: OptimiserSettings, parameters: ParameterSet, device: Device) {
        self.settings = settings
        mean = device.tensor([parameters.count], filledWith: 0)
        square = device.tensor([parameters.count], filledWith: 0)
    }

    /// Moves `parameters` along their gradients, which must have been summed over ranks.
    package func update(_ parameters: ParameterSet, rate: Double) {
        updates += 1
        Self.update(
            parameters, mean: mean, square: square, settings, updates: updates, rate: rate, in: [0..<parameters.count])
    }

    /// One update of some elements.
    /// - Parameters:
    ///   - mean: first moments, [count]; `square` are the second ones.
    ///   - updates: number of updates including this one, at least 1.
    ///   - ranges: the elements to move.
    static func update(
        _ parameters: ParameterSet, mean: Tensor, square: Tensor, _ settings: OptimiserSettings, updates: Int,
        rate: Double, in ranges: [Range<Int>]
    ) {
        let correction1 = 1 - power(settings.beta1, updates)
        let correction2 = 1 - power(settings.beta2, updates)
        func move(_ range: Range<Int>, kept: Double) {
            updateAdam(
                parameters.values.base, gradient: parameters.gradients.base, mean: mean.base, square: square.base,
                in: range, beta1: Float(settings.beta1), beta2: Float(settings.beta2), kept: Float(kept),
                step: Float(rate / correction1), inverse2: Float(1 / correction2), epsilon: Float(settings.epsilon))
        }
        guard settings.weightDecay > 0 else {
            for range in ranges { move(range, kept: 1) }
            return
        }
        for (part, index) in parameters.parts(of: ranges) {
            move(part, kept: parameters.parameters[index].decays ? 1 - rate * settings.weightDecay : 1)
        }
    }
}
