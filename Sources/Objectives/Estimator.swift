import Collectives
import Tensors

/// The bound on a divergence between joint and product samples that is maximised; its negative is the loss.
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

    /// How it is computed.
    package enum Form {
        case infoNCE, donskerVaradhan
        /// An expectation over P less one over Q.
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

    /// Refuses an anchor or a compatibility that isn't for this estimator.
    /// - Parameter says: how the user writes that `anchor` or `compatibility` has a value.
    /// - Throws: `InputError`.
    package func check(
        _ anchor: Anchor, _ compatibility: Compatibility, says: (_ name: String, _ value: String) -> String
    ) throws {
        guard self == .infoNCE || anchor == .global else {
            throw InputError(
                "\(says("anchor", anchor.rawValue)): only infoNCE has an anchor, and the estimator is \(rawValue); "
                    + "leave it out")
        }
        guard compatibility == .exact || self == .infoNCE && anchor != .local else {
            throw InputError(
                "\(says("compatibility", compatibility.rawValue)): that is another loss for infoNCE anchored at globals "
                    + "only, not for \(rawValue) anchored at \(anchor.rawValue)")
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

/// What InfoNCE's softmax runs over. The other estimators have no anchor.
package enum Anchor: String, Choice {
    /// A global vector has to tell a location of its own image from the locations of all other images, as published.
    case global
    /// A location has to tell the global vector of its own image from those of all other images.
    case local
    /// The mean of both losses.
    case both
}

/// Whether a loss is exact, or has the numbers of the published code.
package enum Compatibility: String, Choice {
    case exact
    /// In InfoNCE anchored at globals, an image's own other locations stay in the denominator with a score of -10
    /// instead of being left out: M² e^-10 more in each denominator.
    case published
}
