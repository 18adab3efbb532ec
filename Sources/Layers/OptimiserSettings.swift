import Collectives

/// The schedule of the learning rate over a run. Each starts with a linear warm-up.
package enum Schedule: String, Choice {
    case constant
    /// Half a cosine down to 0 at the last step (Loshchilov & Hutter 2017).
    case cosine
}

/// The algorithm of an optimiser.
package enum OptimiserKind: String, Choice {
    /// Kingma & Ba 2015, algorithm 1; with a weight decay Loshchilov & Hutter 2019, algorithm 2.
    case adam
    /// Gradient descent with momentum.
    case sgd
    /// Gradient descent with momentum and a rate for each array (You et al. 2017, algorithm 1).
    case lars
}

/// An optimiser: its algorithm and numbers.
package struct OptimiserSettings: SettingsTree {
    package var kind: OptimiserKind = .adam
    /// Learning rate, above 0.
    package var rate: Double = 2e-4
    /// Of Adam: decay of the running mean of gradients, in 0..<1.
    package var beta1: Double = 0.9
    /// Of Adam: decay of the running mean of squared gradients, in 0..<1.
    package var beta2: Double = 0.999
    /// Of Adam: added to the root of the second moment, above 0.
    package var epsilon: Double = 1e-8
    /// Of SGD and LARS: decay of the sum of past gradients, in 0..<1.
    package var momentum: Double = 0.9
    /// Of SGD and LARS: whether a step looks ahead along the momentum (Sutskever et al. 2013, as PyTorch has it).
    package var nesterov = false
    /// Pull of weights towards 0, at least 0. Arrays of one axis, which are biases and norms, have none. Adam's is
    /// decoupled from the gradient.
    package var weightDecay: Double = 0
    /// Of LARS: the local rate of an array is this times |w|/(|gradient| + weightDecay·|w|) (η of the paper).
    package var trustCoefficient: Double = 0.02
    /// Of LARS: whether an array moves by its local rate, but at most by the rate; otherwise by their product, as in the
    /// paper.
    package var clip = true
    package var schedule: Schedule = .constant
    /// Steps in which the rate rises linearly from 0.
    package var warmupSteps: Int = 500

    package init() {}

    package static let help = [
        "kind": "\(OptimiserKind.expectation)",
        "rate": "learning rate, above 0",
        "beta1": "for adam: decay of the running mean of gradients, in 0..<1",
        "beta2": "for adam: decay of the running mean of squared gradients, in 0..<1",
        "epsilon": "for adam: added to the root of the second moment, above 0",
        "momentum": "for sgd and lars: decay of the sum of past gradients, in 0..<1",
        "nesterov": "for sgd and lars: whether a step looks ahead along the momentum",
        "weightDecay": "pull of weights towards 0; biases and norms have none",
        "trustCoefficient": "for lars: the local rate of an array is this times |w|/(|gradient| + weightDecay·|w|)",
        "clip": "for lars: whether an array moves by its local rate, at most by the rate; otherwise by their product",
        "schedule":
            "the rate after the warm-up: constant, or cosine (half a cosine down to 0 at the last step)",
        "warmupSteps": "steps in which the rate rises linearly from 0",
    ]
    /// A diverged run must be able to continue with a lower rate.
    package static let changeable = ["rate"]

    /// - Parameter name: the path of these settings.
    /// - Throws: `InputError` where a value is out of its range, or belongs to another kind.
    package func check(_ name: String) throws {
        try require(Float(rate) > 0 && Float(rate).isFinite, "\(name).rate", rate, "above 0, as float32")
        try require((0..<1).contains(beta1), "\(name).beta1", beta1, "in 0..<1")
        try require((0..<1).contains(beta2), "\(name).beta2", beta2, "in 0..<1")
        try require(
            Float(epsilon) > 0 && Float(epsilon).isFinite, "\(name).epsilon", epsilon, "above 0, as float32")
        try require((0..<1).contains(momentum), "\(name).momentum", momentum, "in 0..<1")
        try require((0...1e3).contains(weightDecay), "\(name).weightDecay", weightDecay, "0 to 1000")
        try require(
            Float(trustCoefficient) > 0 && trustCoefficient <= 1e3, "\(name).trustCoefficient", trustCoefficient,
            "above 0, at most 1000")
        try require(warmupSteps >= 0, "\(name).warmupSteps", warmupSteps, "0 or more steps")
        let usual = OptimiserSettings()
        func refuse(_ isChanged: Bool, _ setting: String, _ owners: String) throws {
            guard isChanged else { return }
            throw InputError(
                "\(name).\(setting) is set, but \(name).kind is \(kind.rawValue): it is only for \(owners); leave it out"
            )
        }
        if kind == .adam {
            try refuse(momentum != usual.momentum, "momentum", "sgd and lars")
            try refuse(nesterov, "nesterov", "sgd and lars")
        } else {
            try refuse(beta1 != usual.beta1, "beta1", "adam")
            try refuse(beta2 != usual.beta2, "beta2", "adam")
            try refuse(epsilon != usual.epsilon, "epsilon", "adam")
        }
        if kind != .lars {
            try refuse(trustCoefficient != usual.trustCoefficient, "trustCoefficient", "lars")
            try refuse(clip != usual.clip, "clip", "lars")
        }
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
