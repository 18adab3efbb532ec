// Layers are structs that can be called with a tape and a value. Weights have PyTorch's names, shapes and
// initialisation.

import Autodiff
import Tensors

/// y = x·Wᵀ + b: [..., inputs] to [..., outputs].
package struct Linear {
    package let weight: Parameter
    package let bias: Parameter?

    package init(_ declare: Declarations, _ name: String, inputs: Int, outputs: Int, bias: Bool = true) {
        let declare = declare.within(name)
        weight = declare.parameter("weight", [outputs, inputs], .uniform(fanIn: inputs))
        self.bias = bias ? declare.parameter("bias", [outputs], .uniform(fanIn: inputs)) : nil
    }

    package init(weight: Parameter, bias: Parameter?) {
        self.weight = weight
        self.bias = bias
    }

    package func callAsFunction(_ tape: Tape, _ x: Variable) throws -> Variable {
        try tape.piece(weight.layer) { try tape.linear(x, weight: tape.use(weight), bias: bias.map(tape.use)) }
    }
}

/// 2-d convolution without bias: [n, H, W, inputs] to [n, H', W', outputs].
package struct Conv2D {
    package let weight: Parameter
    private let stride: Int
    private let padding: Int

    /// The start of the weights.
    package enum Start {
        /// PyTorch's default for the layer.
        case uniform
        /// Normal of variance 2/(outputs·kernel²), as in torchvision's residual networks (He et al. 2015, equation 14).
        case normal
        /// The first filters pass an input channel each, as `Initialisation.identityFilters`.
        case identity
    }

    package init(
        _ declare: Declarations, _ name: String, inputs: Int, outputs: Int, kernel: Int, stride: Int, padding: Int,
        start: Start = .uniform
    ) {
        let initialisation: Initialisation =
            switch start {
            case .uniform: .uniform(fanIn: inputs * kernel * kernel)
            case .normal: .normal(deviation: (2 / Float(outputs * kernel * kernel)).squareRoot())
            case .identity: .identityFilters(fanIn: inputs * kernel * kernel)
            }
        weight = declare.within(name).parameter("weight", [outputs, inputs, kernel, kernel], initialisation)
        self.stride = stride
        self.padding = padding
    }

    package func callAsFunction(_ tape: Tape, _ x: Variable) throws -> Variable {
        try tape.piece(weight.layer) {
            try tape.convolution(x, weight: tape.use(weight), stride: stride, padding: padding)
        }
    }

    /// Max pool of windows of 2x2 after the convolution: [n, H, W, inputs] to [n, H'/2, W'/2, outputs], rounded down.
    /// Stride and padding are 1. At an odd edge, outputs in no window aren't computed.
    package func pooled(_ tape: Tape, _ x: Variable) throws -> Variable {
        precondition(stride == 1 && padding == 1 && weight.shape[2] == 3, "\(weight.layer) changes the map's size")
        let rest = (below: 1 - x.shape[1] % 2, right: 1 - x.shape[2] % 2)
        let y = try tape.piece(weight.layer) {
            try tape.convolution(x, weight: tape.use(weight), stride: stride, padding: padding, rest: rest)
        }
        return tape.piece("\(weight.layer) pool") { tape.maxPool(y, window: 2, stride: 2) }
    }
}

/// 2-d transposed convolution without bias: [n, H, W, inputs] to [n, H', W', outputs], H' = stride·(H - 1) + kernel -
/// 2·padding.
package struct TransposedConv2D {
    package let weight: Parameter
    private let stride: Int
    private let padding: Int

    package init(
        _ declare: Declarations, _ name: String, inputs: Int, outputs: Int, kernel: Int, stride: Int, padding: Int
    ) {
        weight = declare.within(name).parameter(
            "weight", [inputs, outputs, kernel, kernel], .uniform(fanIn: outputs * kernel * kernel))
        self.stride = stride
        self.padding = padding
    }

    package func callAsFunction(_ tape: Tape, _ x: Variable) throws -> Variable {
        try tape.piece(weight.layer) {
            try tape.transposedConvolution(x, weight: tape.use(weight), stride: stride, padding: padding)
        }
    }
}

/// A 2-d convolution without bias whose weights never move: [n, H, W, inputs] to [n, H', W', outputs]. No gradient
/// passes.
package struct FixedConv2D {
    private let weight: StateArray
    private let layer: String

    /// - Parameters:
    ///   - weight: [outputs, inputs, kernel, kernel], flat.
    package init(
        _ declare: Declarations, _ name: String, inputs: Int, outputs: Int, kernel: Int, weight: [Float]
    ) {
        let declare = declare.within(name)
        layer = declare.name
        self.weight = declare.state("weight", weight, shape: [outputs, inputs, kernel, kernel])
    }

    /// - Parameter x: data, not the output of a layer that moves.
    package func callAsFunction(_ tape: Tape, _ x: Variable) throws -> Variable {
        precondition(!tape.needsGradient(x), "\(layer) passes no gradient")
        return try tape.piece(layer) {
            let weight = tape.constant(tape.device.tensor(weight.shape, weight.values))
            return try tape.convolution(x, weight: weight, stride: 1, padding: 0)
        }
    }
}

/// Batch normalisation by channel, the last axis, of images or rows, with an optional rectifier after it.
package struct BatchNorm {
    /// The parameters of a batch norm. A scale that isn't trained is 1, a shift 0.
    package enum Trained { case both, shift, none }

    /// [channels] each; nil where they aren't trained.
    private let scale, shift: Parameter?
    private let channels: Int
    private let layer: String
    private let runningMean: StateArray
    private let runningVariance: StateArray
    private let rectified: Bool
    private let scope: BatchNormScope

    /// Weight of the newest batch in the running statistics, in training.
    private static let momentum: Float = 0.1

    package init(
        _ declare: Declarations, _ name: String, channels: Int, rectified: Bool, scope: BatchNormScope = .sync,
        trained: Trained = .both
    ) {
        let declare = declare.within(name)
        scale = trained == .both ? declare.parameter("weight", [channels], .constant(1)) : nil
        shift = trained == .none ? nil : declare.parameter("bias", [channels], .constant(0))
        runningMean = declare.state("running_mean", Array(repeating: 0, count: channels))
        runningVariance = declare.state("running_var", Array(repeating: 1, count: channels))
        layer = declare.name
        self.channels = channels
        self.rectified = rectified
        self.scope = scope
    }

    /// Collective in training with `sync` scope. In training the running statistics move when the tape settles.
    /// - Parameter skip: added before the rectifier, of x's shape.
    package func callAsFunction(_ tape: Tape, _ x: Variable, adding skip: Variable? = nil) throws -> Variable {
        let fixed =
            tape.mode == .training
            ? nil : ChannelStatistics(mean: runningMean.values, variance: runningVariance.values)
        func fixedArray(_ value: Float) -> Variable {
            tape.constant(tape.device.tensor([channels], filledWith: value))
        }
        let normalised = try tape.piece(layer) {
            try tape.batchNorm(
                x, scale: scale.map(tape.use) ?? fixedArray(1), shift: shift.map(tape.use) ?? fixedArray(0),
                rectified: rectified, scope: scope,
                adding: skip, fixed: fixed)
        }
        if let (statistics, rows) = normalised.batch, rows > 0 {
            let weight = tape.statisticsWeight ?? Self.momentum
            tape.whenSettled { take(statistics, ofRows: rows, weight: weight) }
        }
        return normalised.y
    }

    private func take(_ statistics: ChannelStatistics, ofRows rows: Int, weight: Float) {
        let unbiased = Float(rows) / Float(max(rows - 1, 1))
        for c in runningMean.values.indices {
            runningMean.values[c] += weight * (statistics.mean[c] - runningMean.values[c])
            runningVariance.values[c] += weight * (statistics.variance[c] * unbiased - runningVariance.values[c])
        }
    }
}

/// Layer normalisation over the last axis, of `units` elements.
package struct LayerNorm {
    private let scale: Parameter
    private let shift: Parameter?

    /// - Parameters:
    ///   - scale: the start of all scales.
    ///   - shift: whether there are shifts, which start at 0.
    package init(_ declare: Declarations, _ name: String, units: Int, scale: Float, shift: Bool) {
        let declare = declare.within(name)
        self.scale = declare.parameter("weight", [units], .constant(scale))
        self.shift = shift ? declare.parameter("bias", [units], .constant(0)) : nil
    }

    package func callAsFunction(_ tape: Tape, _ x: Variable) -> Variable {
        let shift = shift.map(tape.use) ?? tape.constant(tape.device.tensor([x.shape.last ?? 0], filledWith: 0))
        return tape.piece(scale.layer) { tape.layerNorm(x, scale: tape.use(scale), shift: shift) }
    }
}
