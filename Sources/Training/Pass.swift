import Autodiff
import Collectives
import Layers
import Objectives
import Tensors

/// One pass through a method's networks and back: a tape, and the groups whose parameters move.
package final class Pass {
    package let tape: Tape
    package let turn: Turn
    /// Random streams of this pass, keyed by seed, step and the pass's index in the step.
    package let random: RandomStreams
    /// Most samples that pass a network at a time; nil for all.
    private let microBatch: Int?
    /// Outputs of networks that were applied in micro-batches, with the leaves that stand for them on the tape.
    private var deferred: [(outputs: MicroBatchedOutputs, leaves: [Variable])] = []

    /// - Parameters:
    ///   - index: of this pass in the step, from 0.
    ///   - microBatch: samples that pass a network at a time on a rank; 0 for all.
    package init(
        _ turn: Turn, step: Int, index: Int = 0, seed: UInt64, microBatch: Int = 0, device: Device, ranks: any Ranks,
        shares: Shares
    ) {
        self.turn = turn
        random = RandomStreams(seed: seed, step: step, part: index)
        // It must be the same on every rank, because the number of collective calls depends on it.
        self.microBatch = microBatch > 0 && shares.counts.contains { $0 > microBatch } ? microBatch : nil
        var options = Tape.Options()
        options.players = Set(turn.players.map(\.identifier))
        options.accumulates = self.microBatch != nil
        tape = Tape(device: device, ranks: ranks, shares: shares, options: options)
    }

    /// Whether a group moves in this pass.
    package func moves(_ group: ParameterGroup) -> Bool { turn.players.contains { $0 === group } }

    /// A network over a batch, all at once or in micro-batches. Values and gradients are the same except for rounding,
    /// because batch norms use the statistics of the whole batch. Apart from batch norms (of `Tape.batchNorm`), the
    /// network must treat each row separately. Collective, and so is `backward`.
    ///
    /// - Parameters:
    ///   - x: [rows, …], as many rows for each of the rank's samples.
    ///   - rowsPerSample: rows of a sample in x; nil where x has all of the rank's samples.
    ///   - network: returns outputs of [rows, …]; it is called for each micro-batch, in both directions.
    package func apply(
        _ x: Tensor, rowsPerSample: Int? = nil, _ network: @escaping (Tape, Variable) throws -> [Variable]
    ) throws -> [Variable] {
        guard let microBatch else { return try network(tape, tape.constant(x)) }
        let rowsPerSample = rowsPerSample ?? (tape.shares.own > 0 ? x.shape[0] / tape.shares.own : 1)
        let outputs = try MicroBatchedOutputs(x, size: microBatch * rowsPerSample, of: network, for: tape)
        // A network that doesn't move needs no gradients.
        guard outputs.needGradients else { return outputs.values.map(tape.constant) }
        let leaves = outputs.values.map(tape.leaf)
        deferred.append((outputs, leaves))
        return leaves
    }

    /// Computes this rank's part of the gradient of the terms' weighted sum, and leaves it in the players' parameters.
    /// Collective.
    /// - Parameter finished: called with some of the gradients as soon as they are finished, in the same order on all
    ///   ranks.
    package func backward(_ terms: [Term], finished: ((Tensor) throws -> Void)? = nil) throws {
        let sets = turn.players.compactMap(\.parameters)
        if microBatch != nil {
            for set in sets { set.gradients.fill(0) }
        } else {
            // A parameter that no operation used would keep the gradient of the pass before.
            for parameter in sets.flatMap(\.parameters) where !tape.knows(parameter.value) {
                parameter.gradient.fill(0)
            }
        }
        try tape.backward(
            from: tape.weightedSum(terms.map { ($0.value, Float($0.weight)) }),
            finished: microBatch == nil ? finished : nil)
        for (outputs, leaves) in deferred { try outputs.backward(leaves.map(tape.takeGradient)) }
        deferred = []
    }

    /// Updates batch statistics. To be called after a finite update.
    package func settle() { tape.settle() }
}
