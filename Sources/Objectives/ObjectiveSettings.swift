import Collectives
import Layers

package struct CriticSettings: SettingsTree {
    /// How a local and a global become a score.
    package enum Kind: String, Choice {
        /// An inner product of two networks' outputs: the last maps fold into the globals.
        case separable
        /// A network over every pair: another function for each pair, and U² operations for each.
        case concatenated
    }

    package enum Normalisation: String, Choice {
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

    package static let help = [
        "kind": "separable: an inner product of two networks' outputs; concatenated: a network over every pair",
        "units": "width of the space in which locals and globals meet; of both hidden layers when concatenated",
        "normalisation":
            "layerNorm: behind the last maps, as published, or before the concatenated critic's rectifiers",
    ]

    /// Throws `InputError` where a value is out of its range.
    package func check() throws { try require((1...65536).contains(units), "critic.units", units, "1 to 65536") }
}

/// What is maximised: α·I(image; code) + β·mean over locations of I(location; code), less γ times how easily the codes
/// are told from a prior (Hjelm et al. 2019, equation 8), and two tasks of its appendix.
package struct ObjectiveSettings: SettingsTree {
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

    package static let parts: [String: any SettingsTree.Type] = ["prior": PriorSettings.self]
    package static let help = [
        "estimator": "the bound on mutual information: \(Estimator.expectation)",
        "anchor": "what infoNCE's softmax runs for: \(Anchor.expectation)",
        "compatibility": "published: infoNCE with the published code's mask of -10",
        "globalWeight": "weight of whole images with codes; 1 alone is DIM(G)",
        "localWeight": "weight of locations with codes; 1 alone is DIM(L)",
        "coordinatesWeight": "weight of telling a location's row and column from its local vector and the code",
        "occlusion": "side in pixels of a square that is hidden from what codes are computed of; 0 hides nothing",
    ]

    /// Throws `InputError` where a value is out of its range, or doesn't go with another.
    package func check() throws {
        let weights = [
            ("globalWeight", globalWeight), ("localWeight", localWeight), ("prior.weight", prior.weight),
            ("prior.penalty", prior.penalty), ("coordinatesWeight", coordinatesWeight),
        ]
        for (name, weight) in weights {
            try require(weight >= 0 && Float(weight).isFinite, "objective.\(name)", weight, "0 or more, as float32")
        }
        guard globalWeight + localWeight + coordinatesWeight > 0 else {
            throw InputError(
                "nothing to learn from: set objective.localWeight, objective.globalWeight or "
                    + "objective.coordinatesWeight above 0")
        }
        try require((0...4096).contains(occlusion), "objective.occlusion", occlusion, "0 to 4096")
        try estimator.check(anchor, compatibility) { "objective.\($0) is \($1)" }
        try prior.optimiser.check("objective.prior.optimiser")
    }
}

/// The prior that codes are matched to, by a discriminator that is trained against the encoder.
package struct PriorSettings: SettingsTree {
    package enum Distribution: String, Choice {
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

    package static let parts: [String: any SettingsTree.Type] = ["optimiser": AdamSettings.self]
    package static let help = [
        "weight": "weight of matching codes to a prior; 0 leaves the prior out",
        "distribution": "uniform: in 0...1, against sigmoid(code); normal: against the code itself",
        "penalty": "weight of the discriminator's mean squared gradient by its input",
    ]
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
