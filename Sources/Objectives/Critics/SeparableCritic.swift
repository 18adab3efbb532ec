import Autodiff
import Layers
import Tensors

/// Scores pairs of local and global vectors, in a contrastive loss over the global batch.
protocol Critic {
    /// This rank's part of the loss, a scalar. Collective, in both directions.
    ///
    /// - Parameters:
    ///   - locals: [n·M, C], M rows for each image.
    ///   - globals: [n, K]
    func callAsFunction(_ tape: Tape, locals: Variable, globals: Variable, locations: Int) throws -> Variable
}

/// The encode-and-dot critic of Hjelm et al. 2019 (appendix A.2): <φ(local), ψ(global)>. φ and ψ are each linear, batch
/// norm, ReLU, linear, plus a linear shortcut. Layer normalisation, if any, comes after the sum.
///
/// Without layer normalisation the last maps are folded into the globals. With φ(l) = W₂h + Wₛl + b and m = ψ(g),
/// <φ(l), m> = <h, W₂ᵀm> + <l, Wₛᵀm> + <b, m>. That is exact, and the last map costs n·U² instead of n·M²·U² (design
/// 4.2).
struct SeparableCritic: Critic {
    private let loss: ContrastiveLoss
    private let scope: BatchNormScope
    private let localFirst, localScale, localShift, localLast, localShortcut: Parameter
    private let localBias: Parameter?
    private let globalFirst: Linear
    private let globalNorm: BatchNorm
    private let globalLast, globalShortcut: Linear
    /// Layer norms after φ and ψ; nil when folded.
    private let norms: (local: LayerNorm, global: LayerNorm)?

    /// - Parameters:
    ///   - name: the beginning of its parameters' names.
    ///   - channels: C, channels of the locals.
    ///   - code: K, width of the globals.
    init(
        _ declare: Declarations, _ name: String, channels: Int, code: Int, critic: CriticSettings,
        objective: ObjectiveSettings, batchNorm: BatchNormScope
    ) {
        loss = ContrastiveLoss(
            objective.estimator, anchor: objective.anchor, compatibility: objective.compatibility)
        scope = batchNorm
        let units = critic.units
        let isNormalised = critic.normalisation == .layerNorm
        // φ's last maps start smaller than usual, so that scores start at order 1, not sqrt(U).
        let damping = max(1, Int(Double(units).squareRoot()))
        let local = declare.within("\(name).local")
        localFirst = local.parameter("first.weight", [units, channels], .uniform(fanIn: channels))
        localScale = local.parameter("norm.weight", [units], .constant(1))
        localShift = local.parameter("norm.bias", [units], .constant(0))
        localLast = local.parameter("last.weight", [units, units], .uniform(fanIn: units * damping))
        localBias =
            isNormalised || objective.seesShiftOfLocals
            ? local.parameter("last.bias", [units], .uniform(fanIn: units)) : nil
        localShortcut = local.parameter("shortcut.weight", [units, channels], .uniform(fanIn: channels * damping))
        let global = declare.within("\(name).global")
        globalFirst = Linear(global, "first", inputs: code, outputs: units, bias: false)
        globalNorm = BatchNorm(global, "norm", channels: units, rectified: true, scope: batchNorm)
        globalLast = Linear(
            global, "last", inputs: units, outputs: units, bias: isNormalised || objective.seesShiftOfGlobals)
        globalShortcut = Linear(global, "shortcut", inputs: code, outputs: units, bias: false)
        norms =
            isNormalised
            ? (
                LayerNorm(
                    local, "layer_norm", units: units, scale: 1 / Float(units).squareRoot(),
                    shift: objective.seesShiftOfLocals),
                LayerNorm(global, "layer_norm", units: units, scale: 1, shift: objective.seesShiftOfGlobals)
            ) : nil
    }

    func callAsFunction(_ tape: Tape, locals: Variable, globals: Variable, locations: Int) throws -> Variable {
        // h = max(W̃l + b̃, 0), [n·M, U], for each row l of the locals
        let layer = try tape.piece(localFirst.layer) {
            try tape.foldedNormalisation(
                of: locals, weight: tape.use(localFirst), scale: tape.use(localScale), shift: tape.use(localShift),
                scope: scope)
        }
        let projected = try globalNorm(tape, globalFirst(tape, globals))  // [n, U]
        let encoded = tape.add(try globalLast(tape, projected), try globalShortcut(tape, globals))  // m, [n, U]
        guard let norms else {
            return try folded(tape, layer: layer, locals: locals, encoded: encoded, locations: locations)
        }
        let hidden = try tape.piece(localFirst.layer) { try tape.rectifiedLinear(locals, layer: layer) }
        let direct = try tape.linear(hidden, weight: tape.use(localLast), bias: localBias.map(tape.use))
        let shortcut = try tape.linear(locals, weight: tape.use(localShortcut))
        return try tape.contrastiveLoss(
            loss, factors: [ScoreFactor(norms.local(tape, tape.add(direct, shortcut)))],
            globals: [norms.global(tape, encoded)],
            hasOffset: false, locations: locations)
    }

    private func folded(
        _ tape: Tape, layer: Variable, locals: Variable, encoded: Variable, locations: Int
    ) throws -> Variable {
        // The globals of each factor of the score: [n, U], [n, C] and, with a bias, [n, 1]
        let globals = try tape.piece(localLast.layer) {
            let folded = [
                try tape.product(encoded, tape.use(localLast)), try tape.product(encoded, tape.use(localShortcut)),
            ]
            guard let localBias else { return folded }
            let bias = tape.use(localBias)
            return folded + [try tape.product(encoded, tape.reshape(bias, [bias.shape[0], 1]))]
        }
        return try tape.contrastiveLoss(
            loss, factors: [ScoreFactor(locals, layer: layer), ScoreFactor(locals)], globals: globals,
            hasOffset: localBias != nil, locations: locations)
    }
}

/// The local factor of a term of a score: the locals themselves, or a rectified layer on them (`foldedNormalisation`).
package struct ScoreFactor {
    /// [n·M, D]
    let local: Variable
    /// [U, D + 1]
    let layer: Variable?

    package init(_ local: Variable, layer: Variable? = nil) {
        self.local = local
        self.layer = layer
    }

    /// Number of columns of its globals.
    var width: Int { layer?.shape[0] ?? local.shape[1] }
}

extension Tape {
    /// This rank's part of a contrastive loss, a scalar. `globals[k]` belongs to `factors[k]`. With an offset there is
    /// one more of them, [n, 1], which is added to the scores. Collective.
    package func contrastiveLoss(
        _ loss: ContrastiveLoss, factors: [ScoreFactor], globals: [Variable], hasOffset: Bool, locations: Int
    ) throws -> Variable {
        let joined = concatenateColumns(globals)  // [n, sum of widths]
        var start = 0
        let locals = factors.map { factor in
            defer { start += factor.width }
            return LocalFactor(
                values: factor.local.value, layer: factor.layer?.value, columns: start..<start + factor.width)
        }
        let result = try piece("contrastive loss") {
            try loss(
                locals: locals, globals: joined.value, offsetColumn: hasOffset ? start : nil, locations: locations,
                shares: shares, device: device, ranks: ranks)
        }
        var gradients = [(variable: joined, gradient: result.globals)]
        for (k, factor) in factors.enumerated() {
            if let layer = factor.layer, let gradient = result.layers[k] { gradients.append((layer, gradient)) }
            let isKnown = gradients.contains { $0.gradient.base == result.locals[k].base }
            if !isKnown { gradients.append((factor.local, result.locals[k])) }
        }
        return recordLoss(result.loss, gradients: gradients)
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
