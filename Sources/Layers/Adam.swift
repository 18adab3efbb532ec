import Collectives
import Tensors

/// The schedule of the learning rate over a run. Each starts with a linear warm-up.
package enum Schedule: String, Choice {
    case constant
    /// Half a cosine down to 0 at the last step (Loshchilov & Hutter 2017).
    case cosine
}

package struct AdamSettings: SettingsTree {
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

    package static let help = [
        "rate": "learning rate, above 0",
        "beta1": "decay of the running mean of gradients, in 0..<1",
        "beta2": "decay of the running mean of squared gradients, in 0..<1",
        "epsilon": "added to the root of the second moment, above 0",
        "schedule":
            "the rate after the warm-up: constant, or cosine (half a cosine down to 0 at the last step)",
        "warmupSteps": "steps in which the rate rises linearly from 0",
    ]
    /// A diverged run must be able to continue with a lower rate.
    package static let changeable = ["rate"]

    /// - Parameter name: the path of these settings.
    /// - Throws: `InputError` where a value is out of its range.
    package func check(_ name: String) throws {
        try require(Float(rate) > 0 && Float(rate).isFinite, "\(name).rate", rate, "above 0, as float32")
        try require((0..<1).contains(beta1), "\(name).beta1", beta1, "in 0..<1")
        try require((0..<1).contains(beta2), "\(name).beta2", beta2, "in 0..<1")
        try require(
            Float(epsilon) > 0 && Float(epsilon).isFinite, "\(name).epsilon", epsilon, "above 0, as float32")
        try require(warmupSteps >= 0, "\(name).warmupSteps", warmupSteps, "0 or more steps")
    }

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
    /// Names of the moments in checkpoints.
    static let slotNames = ["first_moment", "second_moment"]

    private let settings: AdamSettings
    /// First and second moments, [count].
    package let mean: Tensor, square: Tensor
    /// Updates made, for the correction of the moments' bias.
    package private(set) var updates = 0

    package init(_ settings: AdamSettings, parameters: ParameterSet, device: Device) {
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
        _ parameters: ParameterSet, mean: Tensor, square: Tensor, _ settings: AdamSettings, updates: Int, rate: Double,
        in ranges: [Range<Int>]
    ) {
        let correction1 = 1 - power(settings.beta1, updates)
        let correction2 = 1 - power(settings.beta2, updates)
        for range in ranges {
            updateAdam(
                parameters.values.base, gradient: parameters.gradients.base, mean: mean.base, square: square.base,
                in: range, beta1: Float(settings.beta1), beta2: Float(settings.beta2),
                step: Float(rate / correction1), inverse2: Float(1 / correction2), epsilon: Float(settings.epsilon))
        }
    }
}
