// A tape of operations, run backwards once. Every operation is a method of `Tape` in one of the Operations files. It
// computes its value and records the rule for its gradient.

import Collectives
import Tensors

/// A value on a tape.
package struct Variable {
    let index: Int
    package let value: Tensor

    package var shape: [Int] { value.shape }
}

/// A function that writes a gradient: it sets `destination`, or adds to it when `adding`.
package typealias GradientWriter = (_ destination: Tensor, _ adding: Bool) throws -> Void

/// Records operations and computes gradients in reverse (reverse-mode differentiation).
///
/// The loss is the mean over the global batch of all ranks. Every gradient by a parameter is this rank's part of a sum
/// over ranks. Operations that communicate with other ranks are collective, in both directions.
package final class Tape {
    package let device: Device
    package let ranks: any Ranks
    package let shares: Shares
    /// Batch statistics and dropout in training; running statistics in evaluation.
    package let mode: Mode
    let options: Options
    /// Weight of the batch in the running statistics of batch norms; nil for that of training.
    package var statisticsWeight: Float? { options.statisticsWeight }

    package enum Mode { case training, evaluation }

    /// Options for a batch that passes in micro-batches, and for moving only a part of the parameters.
    package struct Options {
        /// Owners whose parameters get a gradient; all others are constants. nil for all.
        package var players: Set<ObjectIdentifier>?
        /// Whether `backward` will be called.
        package var recordsRules = true
        /// Whether gradients are added to the parameters' gradients, instead of replacing them.
        package var accumulates = false
        /// Whether gradients only pass through, and no parameter gets one.
        package var ignoresParameters = false
        /// Weight of the batch in the running statistics of batch norms; nil for that of training.
        package var statisticsWeight: Float?
        /// The sums of batch norms when the batch passes in micro-batches.
        package var normalisation: (forward: MicroBatchSums, backward: MicroBatchSums)?

        package init() {}
    }

    /// Number of batch norms passed so far.
    var batchNorms = 0
    private var isFrozen = false
    private var movesStatistics = true
    private var changes: [() -> Void] = []

    private struct Node {
        /// Gradient so far; for a parameter, the memory of its gradient.
        var gradient: Tensor?
        var needsGradient: Bool
        var isWritten = false
        var isParameter = false
        var rule: ((Tensor) throws -> Void)?
        /// The piece of the step that it belongs to, when time is measured.
        var piece: String?
    }

    private var nodes: [Node] = []
    private var parameters: [UnsafeMutablePointer<Float>: Variable] = [:]

    package init(
        device: Device, ranks: any Ranks, shares: Shares, mode: Mode = .training, options: Options = Options()
    ) {
        self.device = device
        self.ranks = ranks
        self.shares = shares
        self.mode = mode
        self.options = options
    }

    // MARK: - What moves

    /// The options for another tape that treats parameters as this one does now.
    package var optionsNow: Options {
        var result = options
        if isFrozen { result.players = [] }
        return result
    }

    /// Whether parameters of this owner get a gradient from operations recorded now.
    package func moves(_ owner: ObjectIdentifier) -> Bool { !isFrozen && options.players?.contains(owner) ?? true }

    /// Operations recorded in `body` pass gradients through networks without moving them: parameters are constants.
    package func frozen<Result>(_ body: () throws -> Result) rethrows -> Result {
        let before = isFrozen
        defer { isFrozen = before }
        isFrozen = true
        return try body()
    }

    /// Batch norms in `body` don't update their running statistics.
    package func keepingStatistics<Result>(_ body: () throws -> Result) rethrows -> Result {
        let before = movesStatistics
        defer { movesStatistics = before }
        movesStatistics = false
        return try body()
    }

    /// Keeps a change to something that isn't a parameter, such as a running mean, until the update is known to be
    /// finite.
    package func whenSettled(_ change: @escaping () -> Void) { if movesStatistics { changes.append(change) } }

    /// Makes the changes that were kept, in order. To be called after the update.
    package func settle() {
        for change in changes { change() }
        changes = []
    }

    /// Takes over the changes that another tape kept.
    package func takeChanges(of other: Tape) {
        if movesStatistics { changes += other.changes }
        other.changes = []
    }

    // MARK: - Values

    /// Data: no gradient is computed for it.
    package func constant(_ value: Tensor) -> Variable {
        nodes.append(Node(needsGradient: false))
        return Variable(index: nodes.count - 1, value: value)
    }

    /// Data with a gradient, which `takeGradient` returns after `backward`.
    package func leaf(_ value: Tensor) -> Variable {
        nodes.append(Node(needsGradient: true))
        return Variable(index: nodes.count - 1, value: value)
    }

    /// The gradient by a leaf, which the caller may overwrite; nil where the loss doesn't depend on it.
    package func takeGradient(of leaf: Variable) -> Tensor? {
        defer { nodes[leaf.index].gradient = nil }
        return nodes[leaf.index].gradient
    }

    /// A parameter, whose gradient `backward` writes to `gradient`. Every use of the same value gives the same
    /// variable.
    package func parameter(_ value: Tensor, gradient: Tensor) -> Variable {
        if let known = parameters[value.base] { return known }
        nodes.append(Node(gradient: gradient, needsGradient: true, isWritten: options.accumulates, isParameter: true))
        let variable = Variable(index: nodes.count - 1, value: value)
        parameters[value.base] = variable
        return variable
    }

    /// Whether a gradient by `variable` is needed: when it depends on a parameter or a leaf.
    package func needsGradient(_ variable: Variable) -> Bool {
        let node = nodes[variable.index]
        return node.needsGradient && !(node.isParameter && options.ignoresParameters)
    }

    /// Whether the tape has a parameter with this value.
    package func knows(_ value: Tensor) -> Bool { parameters[value.base] != nil }

    /// Puts an operation's result on the tape.
    /// - Parameter rule: passes the gradient by the result on to the inputs, by calling `pass`. It owns the gradient
    ///   that it is given and may overwrite it.
    package func record(
        _ value: Tensor, from inputs: [Variable], rule: @escaping (_ gradient: Tensor) throws -> Void
    ) -> Variable {
        let needed = mode == .training && inputs.contains { nodes[$0.index].needsGradient }
        nodes.append(
            Node(
                needsGradient: needed, rule: needed && options.recordsRules ? rule : nil,
                piece: device.timeline?.current))
        return Variable(index: nodes.count - 1, value: value)
    }

    /// Adds a part of the gradient by `variable`, if one is needed.
    package func pass(to variable: Variable, _ write: GradientWriter) rethrows {
        guard needsGradient(variable) else { return }
        let destination = nodes[variable.index].gradient ?? device.tensor(variable.shape)
        try write(destination, nodes[variable.index].isWritten)
        nodes[variable.index].gradient = destination
        nodes[variable.index].isWritten = true
    }

    /// The same with a gradient that nothing else needs.
    package func pass(_ gradient: Tensor, to variable: Variable) {
        guard needsGradient(variable) else { return }
        if !nodes[variable.index].isWritten && !nodes[variable.index].isParameter {
            nodes[variable.index].gradient = gradient
            nodes[variable.index].isWritten = true
        } else {
            pass(to: variable) { destination, adding in
                if adding { destination.add(gradient) } else { destination.copy(from: gradient) }
            }
        }
    }

    /// Computes the gradients of the scalar `loss` by all parameters on the tape. Parameters that it doesn't depend on
    /// get 0. Memory of the tape is freed on the way. Collective where an operation was.
    /// - Parameter finished: called with the gradient by each parameter as soon as it is finished, in an order that is
    ///   the same on all ranks.
    package func backward(from loss: Variable, finished: ((Tensor) throws -> Void)? = nil) throws {
        precondition(loss.value.count == 1, "a gradient starts from a scalar, not \(loss.shape)")
        try backward(from: [(loss, device.tensor([1], [1]))], finished: finished)
    }

    /// The same from given gradients by some values; these gradients are overwritten.
    package func backward(
        from seeds: [(variable: Variable, gradient: Tensor)], finished: ((Tensor) throws -> Void)? = nil
    ) throws {
        for seed in seeds { pass(seed.gradient, to: seed.variable) }
        for index in nodes.indices.reversed() {
            if nodes[index].isParameter {
                if !nodes[index].isWritten { nodes[index].gradient?.fill(0) }
                if let gradient = nodes[index].gradient { try finished?(gradient) }
                continue
            }
            guard let rule = nodes[index].rule else { continue }
            nodes[index].rule = nil
            guard let gradient = nodes[index].gradient else { continue }  // the loss doesn't depend on it
            nodes[index].gradient = nil
            try device.timeline.measured((nodes[index].piece ?? "no layer") + " backward", .computation) {
                try rule(gradient)
            }
        }
    }

    /// Runs a part of the network as a piece of that name in the device's timeline, if there is one. In `backward`, the
    /// rules of its operations have that name too.
    package func piece<Result>(_ name: String, _ body: () throws -> Result) rethrows -> Result {
        try device.timeline.measured(name, .computation, body)
    }

    /// `c = a·b`, or `c += a·b` when adding, counted as work.
    func multiply(_ a: Matrix, _ b: Matrix, into c: Matrix, adding: Bool = false) throws {
        device.timeline?.count(float32Operations: 2 * c.rows * c.columns * (a.isTransposed ? a.rows : a.columns))
        try Tensors.multiply(a, b, into: c, adding: adding)
    }
}
