import Autodiff
import Layers
import Tensors

/// The concat-and-convolve critic of Hjelm et al. 2019 (appendix A.2): a network with two hidden layers of ReLU over
/// every pair.
struct ConcatenatedCritic: Critic {
    private let loss: ContrastiveLoss
    private let firstLocal, firstGlobal: Linear
    private let layers: ConcatenatedLayers<Parameter>

    /// - Parameters: as for `SeparableCritic`.
    init(
        _ declare: Declarations, _ name: String, channels: Int, code: Int, critic: CriticSettings,
        objective: ObjectiveSettings
    ) {
        loss = ContrastiveLoss(
            objective.estimator, anchor: objective.anchor, compatibility: objective.compatibility)
        let units = critic.units
        let declare = declare.within(name)
        // One layer over [local; global], in two parts.
        let first = declare.within("first")
        let start = Initialisation.uniform(fanIn: channels + code)
        let localWeight = first.parameter("local_weight", [units, channels], start)
        let globalWeight = first.parameter("global_weight", [units, code], start)
        firstLocal = Linear(weight: localWeight, bias: first.parameter("bias", [units], start))
        firstGlobal = Linear(weight: globalWeight, bias: nil)
        let isNormalised = critic.normalisation == .layerNorm
        layers = ConcatenatedLayers(
            second: declare.parameter("second.weight", [units, units], .uniform(fanIn: units)),
            secondBias: declare.parameter("second.bias", [units], .uniform(fanIn: units)),
            last: declare.parameter("last.weight", [1, units], .uniform(fanIn: units)),
            lastBias: objective.estimator.seesShiftOfScores
                ? declare.parameter("last.bias", [1], .uniform(fanIn: units)) : nil,
            norms: (isNormalised ? ["first_norm", "second_norm"] : []).map { norm in
                let declare = declare.within(norm)
                return (
                    declare.parameter("weight", [units], .constant(1)), declare.parameter("bias", [units], .constant(0))
                )
            })
    }

    func callAsFunction(_ tape: Tape, locals: Variable, globals: Variable, locations: Int) throws -> Variable {
        try tape.concatenatedLoss(
            loss, locals: firstLocal(tape, locals), globals: firstGlobal(tape, globals),
            layers: layers.map(tape.use), locations: locations)
    }
}

extension Tape {
    /// This rank's part of a contrastive loss of `ConcatenatedScores`, a scalar. Collective.
    ///
    /// - Parameters:
    ///   - locals: [n·M, H], the local part of the first layer before its rectifier.
    ///   - globals: [n, H], the global part.
    package func concatenatedLoss(
        _ loss: ContrastiveLoss, locals: Variable, globals: Variable, layers: ConcatenatedLayers<Variable>,
        locations: Int
    ) throws -> Variable {
        let (scores, value, own) = try piece("contrastive loss") {
            let all = try loss.gather(globals.value, shares: shares, device: device, ranks: ranks)
            let scores = ConcatenatedScores(
                locals: locals.value, globals: all, layers: layers.map(\.value), device: device)
            let value = try loss.value(of: scores, locations: locations, shares: shares, device: device, ranks: ranks)
            return (
                scores, value, try ranks.sumRowsScattered(scores.globalGradients, shares: shares, device: device)
            )
        }
        return recordLoss(
            value,
            gradients: [(locals, scores.localGradients), (globals, own)]
                + zip(layers.all, scores.layerGradients.all).map { ($0, $1) })
    }
}
