import Autodiff
import Layers
import Tensors

/// Scores local vectors against global ones, under a contrastive loss over the global batch.
protocol Critic {
    /// This rank's part of the loss, a scalar. Collective, in both directions.
    ///
    /// - Parameters:
    ///   - locals: [n·M, C], M rows an image.
    ///   - globals: [n, K]
    func callAsFunction(_ tape: Tape, locals: Variable, globals: Variable, locations: Int) throws -> Variable
}

/// The encode-and-dot critic of Hjelm et al. 2019 (appendix A.2): <φ(local), ψ(global)>, φ and ψ each: linear, batch
/// norm, ReLU, linear, plus a linear shortcut, and with layer normalisation that behind the sum.
///
/// Without it the last maps fold into the globals. With φ(l) = W₂h + Wₛl + b and m = ψ(g),
/// <φ(l), m> = <h, W₂ᵀm> + <l, Wₛᵀm> + <b, m>: exact, and the last map costs n·U² instead of n·M²·U² (design 4.2).
struct SeparableCritic: Critic {
    private let loss: ContrastiveLoss
    private let scope: BatchNormScope
    private let localFirst, localScale, localShift, localLast, localShortcut: Parameter
    private let localBias: Parameter?
    private let globalFirst: Linear
    private let globalNorm: BatchNorm
    private let globalLast, globalShortcut: Linear
    /// Behind φ and ψ; none when folded.
    private let norms: (local: LayerNorm, global: LayerNorm)?

    /// - Parameters:
    ///   - name: what its parameters' names open with.
    ///   - channels: C, of the locals.
    ///   - code: K, of the globals.
    init(
        _ declare: Declarations, _ name: String, channels: Int, code: Int, critic: CriticSettings,
        objective: ObjectiveSettings, batchNorm: BatchNormScope
    ) {
        loss = ContrastiveLoss(
            objective.estimator, anchor: objective.anchor, compatibility: objective.compatibility)
        scope = batchNorm
        let units = critic.units
        let isNormalised = critic.normalisation == .layerNorm
        // φ's last maps start smaller than a layer's usual start, so that scores start at order 1 and not sqrt(U).
        let damping = max(1, Int(Double(units).squareRoot()))
        (localFirst, localScale, localShift, localLast, localBias, localShortcut) = declare.scope("\(name).local") {
            (
                $0.parameter("first.weight", [units, channels], .uniform(fanIn: channels)),
                $0.parameter("norm.weight", [units], .constant(1)),
                $0.parameter("norm.bias", [units], .constant(0)),
                $0.parameter("last.weight", [units, units], .uniform(fanIn: units * damping)),
                isNormalised || objective.seesShiftOfLocals
                    ? $0.parameter("last.bias", [units], .uniform(fanIn: units)) : nil,
                $0.parameter("shortcut.weight", [units, channels], .uniform(fanIn: channels * damping))
            )
        }
        (globalFirst, globalNorm, globalLast, globalShortcut) = declare.scope("\(name).global") {
            (
                Linear($0, "first", inputs: code, outputs: units, bias: false),
                BatchNorm($0, "norm", channels: units, rectified: true, scope: batchNorm),
                Linear($0, "last", inputs: units, outputs: units, bias: isNormalised || objective.seesShiftOfGlobals),
                Linear($0, "shortcut", inputs: code, outputs: units, bias: false)
            )
        }
        norms =
            isNormalised
            ? (
                LayerNorm(
                    declare, "\(name).local.layer_norm", units: units, scale: 1 / Float(units).squareRoot(),
                    shift: objective.seesShiftOfLocals),
                LayerNorm(
                    declare, "\(name).global.layer_norm", units: units, scale: 1, shift: objective.seesShiftOfGlobals)
            ) : nil
    }

    func callAsFunction(_ tape: Tape, locals: Variable, globals: Variable, locations: Int) throws -> Variable {
        let hidden = try tape.piece(localFirst.layer) {
            try tape.momentNormalisedLinear(
                locals, weight: tape.use(localFirst), scale: tape.use(localScale), shift: tape.use(localShift),
                scope: scope)  // h, [n·M, U]
        }
        let projected = try globalNorm(tape, globalFirst(tape, globals))  // [n, U]
        let meeting = tape.add(try globalLast(tape, projected), try globalShortcut(tape, globals))  // m, [n, U]
        guard let norms else {
            return try folded(tape, hidden: hidden, locals: locals, meeting: meeting, locations: locations)
        }
        let direct = try tape.linear(hidden, weight: tape.use(localLast), bias: localBias.map(tape.use))
        let shortcut = try tape.linear(locals, weight: tape.use(localShortcut))
        return try tape.contrastiveLoss(
            loss, locals: [norms.local(tape, tape.add(direct, shortcut))], globals: [norms.global(tape, meeting)],
            hasOffset: false, locations: locations)
    }

    private func folded(
        _ tape: Tape, hidden: Variable, locals: Variable, meeting: Variable, locations: Int
    ) throws -> Variable {
        // The factors of the score, and the globals that they meet: [n, U], [n, C] and, with a bias, [n, 1]
        let globals = try tape.piece(localLast.layer) {
            let folded = [
                try tape.product(meeting, tape.use(localLast)), try tape.product(meeting, tape.use(localShortcut)),
            ]
            guard let localBias else { return folded }
            let bias = tape.use(localBias)
            return folded + [try tape.product(meeting, tape.reshape(bias, [bias.shape[0], 1]))]
        }
        return try tape.contrastiveLoss(
            loss, locals: [hidden, locals], globals: globals, hasOffset: localBias != nil, locations: locations)
    }
}

extension Tape {
    /// This rank's part of a contrastive loss, a scalar. `globals[k]` meets `locals[k]`; with an offset there is one
    /// more, [n, 1], that is added to the scores. Collective.
    package func contrastiveLoss(
        _ loss: ContrastiveLoss, locals: [Variable], globals: [Variable], hasOffset: Bool, locations: Int
    ) throws -> Variable {
        let joined = concatenateColumns(globals)  // [n, sum of widths]
        var start = 0
        let factors = locals.map { local in
            defer { start += local.shape[1] }
            return LocalFactor(values: local.value, columns: start..<start + local.shape[1])
        }
        let result = try piece("contrastive loss") {
            try loss(
                locals: factors, globals: joined.value, offsetColumn: hasOffset ? start : nil, locations: locations,
                shares: shares, device: device, ranks: ranks)
        }
        return recordLoss(
            result.loss, gradients: zip(locals + [joined], result.locals + [result.globals]).map { ($0, $1) })
    }

    /// A scalar whose gradients are known already.
    func recordLoss(_ loss: Double, gradients: [(variable: Variable, gradient: Tensor)]) -> Variable {
        record(device.tensor([1], [Float(loss)]), from: gradients.map(\.variable)) { [unowned self] upstream in
            let factor = upstream.base[0]
            for (variable, gradient) in gradients {
                if factor != 1 { gradient.scale(by: factor) }
                pass(gradient, to: variable)
            }
        }
    }
}
