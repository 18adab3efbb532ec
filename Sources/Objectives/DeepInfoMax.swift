import Autodiff
import Layers
import Tensors

/// One loss of an objective, and what it weighs in what is minimised.
package struct ObjectiveTerm {
    package enum Name: String, CaseIterable, Sendable {
        /// Contrastive, of the whole image with the code and of each location with the code.
        case global, local
        /// How easily codes are told from the prior.
        case prior
        case coordinates
        /// Of the prior's discriminator, and the penalty on its gradient.
        case discriminator, penalty

        /// Whether it is the encoder's to minimise: the others are not a part of the loss.
        package var isOfEncoder: Bool { self != .discriminator && self != .penalty }
    }

    package let name: Name
    package let weight: Double
    /// This rank's part of the global mean, a scalar.
    package let value: Variable
}

/// Deep InfoMax (Hjelm et al. 2019, equation 8): any mixture of mutual information between the whole image and the
/// code, DIM(G), between its locations and the code, DIM(L), and a prior on the codes.
package struct DeepInfoMax {
    private let settings: ObjectiveSettings
    private let localCritic: (any Critic)?
    private let globalCritic: (any Critic)?
    private let summary: GlobalSummary?
    private let coordinates: CoordinatePrediction?
    private let prior: PriorMatching?

    /// - Parameters:
    ///   - declare: where the critics' parameters go.
    ///   - adversary: where those of the prior's discriminator go, which have another optimiser.
    ///   - map: height, width and channels of the local feature map.
    ///   - code: width of the global vector.
    ///   - seed: of the prior's samples.
    package init(
        _ declare: Declarations, adversary: Declarations, map: (height: Int, width: Int, channels: Int), code: Int,
        critic: CriticSettings, objective: ObjectiveSettings, batchNorm: BatchNormScope, seed: UInt64
    ) {
        settings = objective
        func makeCritic(_ name: String, channels: Int) -> any Critic {
            switch critic.kind {
            case .separable:
                SeparableCritic(
                    declare, name, channels: channels, code: code, critic: critic, objective: objective,
                    batchNorm: batchNorm)
            case .concatenated:
                ConcatenatedCritic(
                    declare, name, channels: channels, code: code, critic: critic, objective: objective)
            }
        }
        localCritic = objective.localWeight > 0 ? makeCritic("critic", channels: map.channels) : nil
        if objective.globalWeight > 0 {
            let summary = declare.scope("global_critic") {
                GlobalSummary(
                    $0, height: map.height, width: map.width, channels: map.channels, batchNorm: batchNorm)
            }
            self.summary = summary
            globalCritic = makeCritic("global_critic", channels: summary.width)
        } else {
            (summary, globalCritic) = (nil, nil)
        }
        coordinates =
            objective.coordinatesWeight > 0
            ? CoordinatePrediction(
                declare, height: map.height, width: map.width, channels: map.channels, code: code,
                units: critic.units, batchNorm: batchNorm) : nil
        prior =
            objective.prior.weight > 0
            ? PriorMatching(adversary, code: code, settings: objective.prior, seed: seed) : nil
    }

    /// The terms over the global batch. Collective, in both directions.
    ///
    /// - Parameters:
    ///   - map: [n, H, W, C], the local feature map.
    ///   - code: [n, K], the global vectors.
    ///   - step: decides random numbers.
    package func callAsFunction(_ tape: Tape, map: Variable, code: Variable, step: Int) throws -> [ObjectiveTerm] {
        let locations = map.shape[1] * map.shape[2]
        let locals = tape.reshape(map, [map.shape[0] * locations, map.shape[3]])  // [n·M, C]
        var terms: [ObjectiveTerm] = []
        func add(_ name: ObjectiveTerm.Name, _ weight: Double, _ value: Variable) {
            terms.append(ObjectiveTerm(name: name, weight: weight, value: value))
        }
        if let summary, let globalCritic {
            let whole = try summary(tape, map)
            add(
                .global, settings.globalWeight,
                try globalCritic(tape, locals: whole, globals: code, locations: 1))
        }
        if let localCritic {
            add(
                .local, settings.localWeight,
                try localCritic(tape, locals: locals, globals: code, locations: locations))
        }
        if let coordinates {
            add(.coordinates, settings.coordinatesWeight, try coordinates(tape, locals: locals, code: code))
        }
        if let prior {
            let losses = try prior(tape, code: code, step: step)
            add(.prior, settings.prior.weight, losses.encoder)
            add(.discriminator, 1, losses.discriminator)
            add(.penalty, settings.prior.penalty, losses.penalty)
        }
        return terms
    }
}
