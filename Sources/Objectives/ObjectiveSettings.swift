import Layers

package struct CriticSettings: Codable, Equatable, Sendable {
    /// How a local and a global become a score.
    package enum Kind: String, Codable, CaseIterable, Sendable {
        /// An inner product of two networks' outputs: the last maps fold into the globals.
        case separable
        /// A network over every pair: another function for each pair, and U² operations for each.
        case concatenated
    }

    package enum Normalisation: String, Codable, CaseIterable, Sendable {
        case none
        /// Behind the last maps of the separable critic, as published, which then can't be folded; before the
        /// rectifiers of the concatenated one.
        case layerNorm
    }

    package var kind: Kind = .separable
    /// U: width of the space in which locals and globals meet; of both hidden layers when concatenated.
    package var units: Int = 512
    package var normalisation: Normalisation = .none

    package init() {}
}

/// What is maximised: α·I(image; code) + β·mean over locations of I(location; code), less γ times how easily the codes
/// are told from a prior (Hjelm et al. 2019, equation 8), and two tasks of its appendix.
package struct ObjectiveSettings: Codable, Equatable, Sendable {
    package var estimator: Estimator = .infoNCE
    package var anchor: Anchor = .global
    package var compatibility: Compatibility = .exact
    /// α, at least 0: 1 alone is DIM(G).
    package var globalWeight = 0.0
    /// β, at least 0: 1 alone is DIM(L).
    package var localWeight = 1.0
    package var prior = PriorSettings()
    /// Weight, at least 0, of the loss of telling a location's row and column from its local vector and the code.
    package var coordinatesWeight = 0.0
    /// Side in pixels of a square, at a random place, that is hidden from what the code is computed of, while the
    /// locals are those of the whole image; 0 hides nothing.
    package var occlusion = 0

    package init() {}
}

/// The prior that codes are matched to, by a discriminator that is trained against the encoder.
package struct PriorSettings: Codable, Equatable, Sendable {
    package enum Distribution: String, Codable, CaseIterable, Sendable {
        /// Uniform in 0...1, against sigmoid(code).
        case uniform
        /// Standard normal, against the code itself.
        case normal
    }

    /// γ, at least 0; 0 leaves the prior out.
    package var weight = 0.0
    package var distribution: Distribution = .uniform
    /// Weight, at least 0, of the discriminator's mean squared gradient by its input, on samples of either kind.
    package var penalty = 1.0
    /// Of the discriminator.
    package var optimiser: AdamSettings = {
        var settings = AdamSettings()
        settings.rate = 1e-4
        settings.warmupSteps = 0
        return settings
    }()

    package init() {}
}

// A bias that shifts all scores of one softmax alike can't be learned: its gradient is 0, and Adam would blow its
// rounding errors up to whole steps. So those that cancel are left out.
extension ObjectiveSettings {
    /// Whether adding one vector to all locals changes the scores' loss.
    var seesShiftOfLocals: Bool { estimator != .infoNCE || anchor != .global }
    /// Whether adding one vector to all globals changes the scores' loss.
    var seesShiftOfGlobals: Bool { estimator != .infoNCE || anchor != .local }

    /// Whether adding one vector to all codes changes the loss with such critics.
    package func seesShiftOfCodes(_ critic: CriticSettings) -> Bool {
        let isSeenByCritic = seesShiftOfGlobals || critic.kind == .concatenated || critic.normalisation == .layerNorm
        return isSeenByCritic && globalWeight + localWeight > 0 || prior.weight > 0 || coordinatesWeight > 0
    }
}
