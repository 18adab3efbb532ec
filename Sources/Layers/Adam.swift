import Tensors

/// How the learning rate moves over a run. Linear warm-up comes first in each.
package enum Schedule: String, Codable, CaseIterable, Sendable {
    case constant
    /// Half a cosine down to 0 at the last step (Loshchilov & Hutter 2017).
    case cosine
}

package struct AdamSettings: Codable, Equatable, Sendable {
    /// Learning rate, above 0.
    package var rate: Double = 2e-4
    /// Decay of the running mean of gradients, in 0..<1.
    package var beta1: Double = 0.9
    /// Decay of the running mean of squared gradients, in 0..<1.
    package var beta2: Double = 0.999
    /// Added to the root of the second moment, above 0.
    package var epsilon: Double = 1e-8
    package var schedule: Schedule = .constant
    /// Steps in which the rate rises linearly from 0.
    package var warmupSteps: Int = 500

    package init() {}

    /// The rate of step `step`, counted from 0, of a run of `steps`.
    package func rate(at step: Int, of steps: Int) -> Double {
        let warmup = warmupSteps > 0 ? min(1, Double(step + 1) / Double(warmupSteps)) : 1
        switch schedule {
        case .constant: return rate * warmup
        case .cosine: return rate * warmup * 0.5 * (1 + Double.cosine(Double.pi * Double(step) / Double(max(steps, 1))))
        }
    }
}

/// Adam (Kingma & Ba 2015, algorithm 1) over a flat array of parameters.
package final class Adam {
    package let settings: AdamSettings
    /// First and second moments, [count].
    package private(set) var mean: Tensor, square: Tensor
    /// Updates made, for the correction of the moments' bias.
    package var updates = 0

    package init(_ settings: AdamSettings, parameters: ParameterSet, device: Device) {
        self.settings = settings
        mean = device.tensor([parameters.count], filledWith: 0)
        square = device.tensor([parameters.count], filledWith: 0)
    }

    /// Goes on in other arrays, [count] each. The caller has copied the moments there.
    package func move(mean: Tensor, square: Tensor) {
        self.mean = mean
        self.square = square
    }

    /// Moves `parameters` along their gradients, which must have been summed over ranks.
    /// - Parameter ranges: the elements to move; all by default.
    package func update(_ parameters: ParameterSet, rate: Double, in ranges: [Range<Int>]? = nil) {
        updates += 1
        let correction1 = 1 - power(settings.beta1, updates)
        let correction2 = 1 - power(settings.beta2, updates)
        for range in ranges ?? [0..<parameters.count] {
            updateAdam(
                parameters.values.base, gradient: parameters.gradients.base, mean: mean.base, square: square.base,
                in: range, beta1: Float(settings.beta1), beta2: Float(settings.beta2),
                step: Float(rate / correction1), inverse2: Float(1 / correction2), epsilon: Float(settings.epsilon))
        }
    }
}
