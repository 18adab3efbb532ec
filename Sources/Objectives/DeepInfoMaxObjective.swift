import Autodiff
import Layers
import Tensors

/// Deep InfoMax (Hjelm et al. 2019, equation 8): any mixture of mutual information between the whole image and the
/// code, DIM(G), between its locations and the code, DIM(L), and a prior on the codes.
package struct DeepInfoMaxObjective {
    private let settings: ObjectiveSettings
    private let localCritic: (any Critic)?
    private let globalCritic: (any Critic)?
    private let summary: GlobalSummary?
    private let coordinates: CoordinatePrediction?

    /// - Parameters:
    ///   - declare: declares the critics' parameters.
    ///   - map: height, width and channels of the local feature map.
    ///   - code: width of the global vector.
    package init(
        _ declare: Declarations, map: (height: Int, width: Int, channels: Int), code: Int, critic: CriticSettings,
        objective: ObjectiveSettings, batchNorm: BatchNormScope
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
            let summary = GlobalSummary(
                declare.within("global_critic"), height: map.height, width: map.width, channels: map.channels,
                batchNorm: batchNorm)
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
    }

    /// The terms over the global batch. Collective, in both directions.
    ///
    /// - Parameters:
    ///   - map: [n, H, W, C], the local feature map.
    ///   - code: [n, K], the global vectors.
    ///   - prior: matches the codes to a prior; nil for no prior.
    ///   - random: random streams of the prior's samples.
    package func callAsFunction(
        _ tape: Tape, map: Variable, code: Variable, prior: PriorMatching?, random: RandomStreams
    ) throws -> [Term] {
        let locations = map.shape[1] * map.shape[2]
        let locals = tape.reshape(map, [map.shape[0] * locations, map.shape[3]])  // [n·M, C]
        /// The number from which the loss is subtracted for the bound in nats on this term's information.
        func ceiling(locations: Int) -> Double? {
            settings.estimator.mutualInformation(
                loss: 0, anchor: settings.anchor, images: tape.shares.total, locations: locations)
        }
        var terms: [Term] = []
        if let summary, let globalCritic {
            let whole = try summary(tape, map)
            let loss = try globalCritic(tape, locals: whole, globals: code, locations: 1)
            // A run has one bound: that of the locations, if there is one.
            terms.append(
                Term("global", settings.globalWeight, loss, ceiling: localCritic == nil ? ceiling(locations: 1) : nil))
        }
        if let localCritic {
            let loss = try localCritic(tape, locals: locals, globals: code, locations: locations)
            terms.append(Term("local", settings.localWeight, loss, ceiling: ceiling(locations: locations)))
        }
        if let coordinates {
            terms.append(
                Term("coordinates", settings.coordinatesWeight, try coordinates(tape, locals: locals, code: code)))
        }
        if let prior {
            let losses = try prior(tape, code: code, random: random)
            terms.append(Term("prior", settings.prior.weight, losses.encoder))
            terms.append(Term("discriminator", 1, losses.discriminator, isMain: false))
            terms.append(Term("penalty", settings.prior.penalty, losses.penalty, isMain: false))
        }
        return terms
    }
}
