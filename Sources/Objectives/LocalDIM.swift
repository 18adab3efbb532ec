import Autodiff
import Collectives
import Layers
import Tensors

package struct CriticSettings: Codable, Equatable, Sendable {
    /// Width of the space in which locals and globals meet.
    package var units: Int = 512

    package init() {}
}

package struct ObjectiveSettings: Codable, Equatable, Sendable {
    package var estimator: Estimator = .infoNCE
    package var anchor: Anchor = .global

    package init() {}

    // A bias that shifts all scores of one softmax alike can't be learned: its gradient is 0, and Adam would blow its
    // rounding errors up to whole steps. So each anchor leaves out those that cancel.

    /// Whether adding one vector to all locals changes the loss.
    package var seesShiftOfLocals: Bool { estimator != .infoNCE || anchor == .local }
    /// Whether adding one vector to all globals changes the loss.
    package var seesShiftOfGlobals: Bool { estimator != .infoNCE || anchor == .global }
}

/// Local Deep InfoMax, DIM(L) of Hjelm et al. 2019, section 3.3: the mutual information between the code and each
/// location of a feature map, by a separable critic whose last maps are folded into the globals.
///
/// The critic is <φ(local), ψ(global)>, φ and ψ each: linear, batch norm, ReLU, linear, plus a linear shortcut. With
/// φ(l) = W₂h + Wₛl + b and m = ψ(g), <φ(l), m> = <h, W₂ᵀm> + <l, Wₛᵀm> + <b, m>: exact, and the last map costs n·U²
/// instead of n·M²·U² (design 4.2).
package struct LocalDIM {
    private let loss: ContrastiveLoss
    private let scope: BatchNormScope
    private let localFirst, localScale, localShift, localLast, localShortcut: Parameter
    private let localBias: Parameter?
    private let globalFirst: Linear
    private let globalNorm: BatchNorm
    private let globalLast, globalShortcut: Linear

    /// - Parameters:
    ///   - channels: C, of the local feature map.
    ///   - code: width of the global vector.
    package init(
        _ declare: Declarations, channels: Int, code: Int, critic: CriticSettings, objective: ObjectiveSettings,
        batchNorm: BatchNormScope
    ) {
        loss = ContrastiveLoss(objective.estimator, anchor: objective.anchor)
        scope = batchNorm
        let units = critic.units
        // φ's last maps start smaller than a layer's usual start, so that scores start at order 1 and not sqrt(U).
        let damping = max(1, Int(Double(units).squareRoot()))
        (localFirst, localScale, localShift, localLast, localBias, localShortcut) = declare.scope("critic.local") {
            (
                $0.parameter("first.weight", [units, channels], .uniform(fanIn: channels)),
                $0.parameter("norm.weight", [units], .constant(1)),
                $0.parameter("norm.bias", [units], .constant(0)),
                $0.parameter("last.weight", [units, units], .uniform(fanIn: units * damping)),
                objective.seesShiftOfLocals ? $0.parameter("last.bias", [units], .uniform(fanIn: units)) : nil,
                $0.parameter("shortcut.weight", [units, channels], .uniform(fanIn: channels * damping))
            )
        }
        (globalFirst, globalNorm, globalLast, globalShortcut) = declare.scope("critic.global") {
            (
                Linear($0, "first", inputs: code, outputs: units, bias: false),
                BatchNorm($0, "norm", channels: units, rectified: true, scope: batchNorm),
                Linear($0, "last", inputs: units, outputs: units, bias: objective.seesShiftOfGlobals),
                Linear($0, "shortcut", inputs: code, outputs: units, bias: false)
            )
        }
    }

    /// This rank's part of the loss. Collective, in both directions.
    ///
    /// - Parameters:
    ///   - locals: [n, H, W, C], the local feature map.
    ///   - code: [n, K], the global vectors.
    package func callAsFunction(_ tape: Tape, locals: Variable, code: Variable) throws -> Variable {
        let locations = locals.shape[1] * locals.shape[2]
        let rows = tape.reshape(locals, [locals.shape[0] * locations, locals.shape[3]])  // [n·M, C]
        let hidden = try tape.momentNormalisedLinear(
            rows, weight: tape.use(localFirst), scale: tape.use(localScale), shift: tape.use(localShift),
            scope: scope)  // [n·M, U]
        let projected = try globalNorm(tape, globalFirst(tape, code))  // [n, U]
        let meeting = tape.add(try globalLast(tape, projected), try globalShortcut(tape, code))  // m, [n, U]

        // The factors of the score, and the globals that they meet: [n, U], [n, C] and, with a bias, [n, 1]
        var globals = [
            try tape.product(meeting, tape.use(localLast)), try tape.product(meeting, tape.use(localShortcut)),
        ]
        if let localBias {
            let bias = tape.use(localBias)
            globals.append(try tape.product(meeting, tape.reshape(bias, [bias.shape[0], 1])))
        }
        return try tape.contrastiveLoss(
            loss, locals: [hidden, rows], globals: globals, hasOffset: localBias != nil, locations: locations)
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
        let result = try loss(
            locals: factors, globals: joined.value, offsetColumn: hasOffset ? start : nil, locations: locations,
            shares: shares, device: device, ranks: ranks)
        let value = device.tensor([1], [Float(result.loss)])
        return record(value, from: locals + [joined]) { [unowned self] upstream in
            let factor = upstream.base[0]
            for (variable, gradient) in zip(locals + [joined], result.locals + [result.globals]) {
                if factor != 1 { gradient.scale(by: factor) }
                pass(gradient, to: variable)
            }
        }
    }
}
