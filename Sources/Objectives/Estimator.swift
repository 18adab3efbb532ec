import Collectives
import Tensors

/// The estimators: bounds on a divergence between joint and product samples. The loss is the negative bound.
package enum Estimator: String, Choice {
    /// Noise-contrastive bound (van den Oord et al. 2018), a lower bound of ln(candidates) - loss nats.
    case infoNCE
    /// Jensen-Shannon divergence (Nowozin et al. 2016; Hjelm et al. 2019, equation 4), 0 for a critic that is always 0.
    case jensenShannon
    /// E_P[T] - ln E_Q[e^T] (Donsker & Varadhan 1983; Belghazi et al. 2018, equation 5), a lower bound in nats.
    case donskerVaradhan
    /// E_P[T] - E_Q[e^(T-1)] (Nguyen, Wainwright & Jordan 2010), a lower bound in nats.
    case nwj
    /// KL divergence of the product from the joint distribution.
    case reverseKL
    case squaredHellinger
    case pearsonChiSquared
    /// The loss of generative adversarial networks (Goodfellow et al. 2014).
    case gan

    /// The ways of computing a loss.
    package enum Form {
        case infoNCE, donskerVaradhan
        /// An expectation over P minus one over Q.
        case divergence(Divergence)
    }

    package var form: Form {
        switch self {
        case .infoNCE: .infoNCE
        case .donskerVaradhan: .donskerVaradhan
        case .jensenShannon: .divergence(.jensenShannon)
        case .nwj: .divergence(.kullbackLeibler)
        case .reverseKL: .divergence(.reverseKullbackLeibler)
        case .squaredHellinger: .divergence(.squaredHellinger)
        case .pearsonChiSquared: .divergence(.pearsonChiSquared)
        case .gan: .divergence(.gan)
        }
    }

    /// Whether adding one number to all scores changes the loss.
    package var seesShiftOfScores: Bool { self != .infoNCE && self != .donskerVaradhan }

    /// Refuses an anchor or a compatibility that doesn't fit this estimator.
    /// - Parameter says: writes the value of `anchor` or `compatibility` as the user did.
    /// - Throws: `InputError`.
    package func check(
        _ anchor: Anchor, _ compatibility: Compatibility, says: (_ name: String, _ value: String) -> String
    ) throws {
        guard self == .infoNCE || anchor == .global else {
            throw InputError(
                "\(says("anchor", anchor.rawValue)): only infoNCE has an anchor, but the estimator is \(rawValue); "
                    + "leave it out")
        }
        guard compatibility == .exact || self == .infoNCE && anchor != .local else {
            throw InputError(
                "\(says("compatibility", compatibility.rawValue)): it is only for infoNCE with anchor global or both, "
                    + "not for \(rawValue) with anchor \(anchor.rawValue); leave it out")
        }
    }

    /// The mutual-information bound in nats at this loss, where the estimator gives one.
    package func mutualInformation(loss: Double, anchor: Anchor, images: Int, locations: Int) -> Double? {
        switch self {
        case .infoNCE:
            switch anchor {
            case .global: (1 + Double(images - 1) * Double(locations)).logarithm - loss
            case .local: Double(images).logarithm - loss
            case .both: nil  // the mean of two bounds on two quantities
            }
        case .donskerVaradhan, .nwj: -loss
        case .jensenShannon, .reverseKL, .squaredHellinger, .pearsonChiSquared, .gan: nil
        }
    }
}

/// The anchors of InfoNCE: vectors that have a softmax. The other estimators have no anchor.
package enum Anchor: String, Choice {
    /// A global vector must identify a location of its own image among the locations of all other images, as published.
    case global
    /// A location must identify the global vector of its own image among those of all images.
    case local
    /// The mean of both losses.
    case both
}

/// Whether a loss is exact, or equals that of the published code.
package enum Compatibility: String, Choice {
    case exact
    /// In InfoNCE anchored at globals, an image's other locations stay in the denominator with a score of -10, instead
    /// of being left out. That adds M² e^-10 to each denominator.
    case published
}
