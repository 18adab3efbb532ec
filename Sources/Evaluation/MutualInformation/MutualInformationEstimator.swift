import Objectives
import Tensors

/// The estimators: bounds of the mutual information of paired rows.
package enum MutualInformationEstimator: String, Codable, CaseIterable, Sendable {
    /// Noise-contrastive bound (van den Oord et al. 2018): each x identifies its own y among all y of a block of rows.
    /// Never above ln(rows of the block).
    case infoNCE
    /// Donsker-Varadhan bound whose gradient divides by a moving average of E[e^u] (Belghazi et al. 2018, section 3.2).
    case mine
    /// Donsker-Varadhan bound, E[u] - ln E[e^u]. The first mean is over pairs, the second over rows of different pairs.
    case donskerVaradhan
    /// Bound of Nguyen, Wainwright & Jordan 2010, E[u] - E[e^(u - 1)].
    case nwj
    /// A critic trained by the Jensen-Shannon divergence, whose best score is ln p(x,y)/(p(x)p(y)), with the bound of
    /// `nwj` (Poole et al. 2019, section 2.3).
    case jensenShannon
    /// A critic trained in the same way, with the Donsker-Varadhan bound, in which the scores of the second mean are
    /// clipped to ±5 (Song & Ermon 2020).
    case smile
}

extension MutualInformationEstimator {
    /// The loss that trains a critic.
    var trainingLoss: ContrastiveLoss {
        switch self {
        case .infoNCE: return ContrastiveLoss(.infoNCE, anchor: .local)
        case .mine:
            var loss = ContrastiveLoss(.donskerVaradhan, anchor: .global)
            loss.partition = PartitionAverage()
            return loss
        case .donskerVaradhan: return ContrastiveLoss(.donskerVaradhan, anchor: .global)
        case .nwj: return ContrastiveLoss(.nwj, anchor: .global)
        case .jensenShannon, .smile: return ContrastiveLoss(.jensenShannon, anchor: .global)
        }
    }

    /// Whether adding a function of x to the scores changes the loss.
    var seesFunctionsOfX: Bool { self != .infoNCE }

    /// Whether adding a constant to the scores changes the loss.
    var seesConstants: Bool {
        switch self {
        case .infoNCE, .mine, .donskerVaradhan: false
        case .nwj, .jensenShannon, .smile: true
        }
    }

    /// The score of all pairs at which the bound is 0.
    var startingScore: Float { self == .nwj ? 1 : 0 }

    /// The limit to which `smile` clips scores on either side (Song & Ermon 2020, section 5).
    static let clip = 5.0

    /// The estimator that chooses the critic's state and the scale of its scores. `smile` isn't a lower bound, so
    /// choosing its largest value would choose its largest error.
    var criterion: MutualInformationEstimator { self == .smile ? .donskerVaradhan : self }
}
