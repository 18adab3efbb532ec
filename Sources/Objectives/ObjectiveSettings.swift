import Collectives
import Layers

package struct CriticSettings: SettingsTree {
    /// The function that gives the score of a local and a global.
    package enum Kind: String, Choice {
        /// An inner product of two networks' outputs. The last maps are folded into the globals.
        case separable
        /// A network over every pair. It is more general, but takes U² operations for each pair.
        case concatenated
    }

    package enum Normalisation: String, Choice {
        case none
        /// In the separable critic after the last maps, as published, which then can't be folded. In the concatenated
        /// critic before the rectifiers.
        case layerNorm
    }

    package var kind: Kind = .separable
    /// U, width of the two networks' outputs; of both hidden layers when concatenated.
    package var units: Int = 512
    package var normalisation: Normalisation = .none

    package init() {}

    package static let help = [
        "kind": "separable: an inner product of two networks' outputs; concatenated: a network over every pair",
        "units": "width of the two networks' outputs; of both hidden layers when concatenated",
        "normalisation":
            "none, or layerNorm: after the separable critic's last maps, as published, or before the concatenated "
            + "critic's rectifiers",
    ]

    /// Throws `InputError` where a value is out of its range.
    package func check() throws { try require((1...65536).contains(units), "critic.units", units, "1 to 65536") }
}

/// The objective: α·I(image; code) + β·mean over locations of I(location; code), minus γ times a discriminator's
/// success in separating codes from a prior (Hjelm et al. 2019, equation 8), and two tasks of its appendix.
package struct ObjectiveSettings: SettingsTree {
    package var estimator: Estimator = .infoNCE
    package var anchor: Anchor = .global
    package var compatibility: Compatibility = .exact
    /// α, at least 0: 1 alone is DIM(G).
    package var globalWeight = 0.0
    /// β, at least 0: 1 alone is DIM(L).
    package var localWeight = 1.0
    package var prior = PriorSettings()
    /// Weight, at least 0, of the loss of predicting a location's row and column from its local vector and the code.
    package var coordinatesWeight = 0.0
    /// Side in pixels of a square at a random position that is hidden when the code is computed. The locals are those
    /// of the whole image. 0 hides nothing.
    package var occlusion = 0

    package init() {}

    package static let parts: [String: any SettingsTree.Type] = ["prior": PriorSettings.self]
    package static let help = [
        "estimator": "the bound on mutual information: \(Estimator.expectation)",
        "anchor": "vectors that have a softmax in infoNCE: \(Anchor.expectation)",
        "compatibility": "exact, or published: infoNCE with the published code's mask of -10",
        "globalWeight": "weight of the information between whole images and codes; 1 alone is DIM(G)",
        "localWeight": "weight of the information between locations and codes; 1 alone is DIM(L)",
        "coordinatesWeight": "weight of predicting a location's row and column from its local vector and the code",
        "occlusion": "side in pixels of a square that is hidden when codes are computed; 0 hides nothing",
    ]

    /// Throws `InputError` where a value is out of its range, or doesn't fit another.
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
                "all weights of the objective are 0: set objective.localWeight, objective.globalWeight or "
                    + "objective.coordinatesWeight above 0")
        }
        try require((0...4096).contains(occlusion), "objective.occlusion", occlusion, "0 to 4096")
        try estimator.check(anchor, compatibility) { "objective.\($0) is \($1)" }
        try prior.optimiser.check("objective.prior.optimiser")
    }
}

/// The prior to which codes are matched, by a discriminator that is trained against the encoder.
package struct PriorSettings: SettingsTree {
    package enum Distribution: String, Choice {
        /// Uniform in 0...1, compared with sigmoid(code).
        case uniform
        /// Standard normal, compared with the code itself.
        case normal
    }

    /// γ, at least 0; 0 leaves the prior out.
    package var weight = 0.0
    package var distribution: Distribution = .uniform
    /// Weight, at least 0, of the discriminator's mean squared gradient by its input, on samples of both kinds.
    package var penalty = 1.0
    /// The discriminator's optimiser.
    package var optimiser: OptimiserSettings = {
        var settings = OptimiserSettings()
        settings.rate = 1e-4
        settings.warmupSteps = 0
        return settings
    }()

    package init() {}

    package static let parts: [String: any SettingsTree.Type] = ["optimiser": OptimiserSettings.self]
    package static let help = [
        "weight": "weight of matching codes to a prior; 0 leaves the prior out",
        "distribution": "uniform: in 0...1, compared with sigmoid(code); normal: compared with the code itself",
        "penalty": "weight of the discriminator's mean squared gradient by its input",
    ]
}

// A bias that shifts all scores of a softmax by the same number can't be learned. Its gradient is 0, and Adam would
// turn its rounding errors into whole steps. So such biases are left out.
extension ObjectiveSettings {
    /// Whether adding one vector to all locals changes the scores' loss.
    var seesShiftOfLocals: Bool { estimator != .infoNCE || anchor != .global }
    /// Whether adding one vector to all globals changes the scores' loss.
    var seesShiftOfGlobals: Bool { estimator != .infoNCE || anchor != .local }

    /// Whether adding one vector to all codes changes the loss, with these critics.
    package func seesShiftOfCodes(_ critic: CriticSettings) -> Bool {
        let isSeenByCritic = seesShiftOfGlobals || critic.kind == .concatenated || critic.normalisation == .layerNorm
        return isSeenByCritic && globalWeight + localWeight > 0 || prior.weight > 0 || coordinatesWeight > 0
    }
}
