import Autodiff
import Collectives
import Layers
import Objectives
import Tensors

/// One way through a method's networks and back: a tape, and whose parameters move.
package final class Pass {
    package let tape: Tape
    package let turn: Turn
    /// Random streams of this pass, keyed by seed, step and its place in the step.
    package let random: RandomStreams
    /// Samples that pass a network at a time; nil for all.
    private let pieceSize: Int?
    /// What went through a network in pieces, with the leaves that stand for the outputs on the tape.
    private var pieces: [(outputs: PiecewiseOutputs, leaves: [Variable])] = []

    /// - Parameters:
    ///   - place: among the passes of the step, from 0.
    ///   - microBatch: samples that pass a network at a time on a rank; 0 for all.
    package init(
        _ turn: Turn, step: Int, place: Int = 0, seed: UInt64, microBatch: Int = 0, device: Device, ranks: any Ranks,
        shares: Shares
    ) {
        self.turn = turn
        random = RandomStreams(seed: seed, step: step, part: place)
        // The same on every rank: the number of collective calls depends on it.
        pieceSize = microBatch > 0 && shares.counts.contains { $0 > microBatch } ? microBatch : nil
        var options = Tape.Options()
        options.players = Set(turn.players.map(\.identifier))
        options.accumulates = pieceSize != nil
        tape = Tape(device: device, ranks: ranks, shares: shares, options: options)
    }

    /// Whether a group moves in this pass.
    package func moves(_ group: ParameterGroup) -> Bool { turn.players.contains { $0 === group } }

    /// A network over a batch, whole or in pieces of `microBatch`: the same values and gradients but for rounding, for
    /// batch norms have the statistics of the whole batch. Each row must pass by itself but for batch norms of the form
    /// of `Tape.batchNorm`. Collective, and so is `backward`.
    ///
    /// - Parameters:
    ///   - x: [rows, …], as many rows for each of the rank's samples.
    ///   - network: gives outputs of [rows, …]; it is called again for each piece, in both directions.
    package func apply(
        _ x: Tensor, _ network: @escaping (Tape, Variable) throws -> [Variable]
    ) throws -> [Variable] {
        guard let pieceSize else { return try network(tape, tape.constant(x)) }
        let rowsPerSample = tape.shares.own > 0 ? x.shape[0] / tape.shares.own : 1
        let outputs = try PiecewiseOutputs(x, size: pieceSize * rowsPerSample, of: network, for: tape)
        // Of a network that doesn't move, nothing is passed back.
        guard outputs.needGradients else { return outputs.values.map(tape.constant) }
        let leaves = outputs.values.map(tape.leaf)
        pieces.append((outputs, leaves))
        return leaves
    }

    /// Leaves this rank's part of the gradient of the weighted sum of the terms in the players' parameters. Collective.
    /// - Parameter finished: called with some of the gradients as soon as they are finished, in the same order on all
    ///   ranks.
    package func backward(_ terms: [Term], finished: ((Tensor) throws -> Void)? = nil) throws {
        let sets = turn.players.compactMap(\.parameters)
        if pieceSize != nil {
            for set in sets { set.gradients.fill(0) }
        } else {
            // What no operation used would keep the gradient of the pass before.
            for parameter in sets.flatMap(\.parameters) where !tape.knows(parameter.value) {
                parameter.gradient.fill(0)
            }
        }
        try tape.backward(
            from: tape.weightedSum(terms.map { ($0.value, Float($0.weight)) }),
            finished: pieceSize == nil ? finished : nil)
        for (outputs, leaves) in pieces { try outputs.backward(leaves.map(tape.takeGradient)) }
        pieces = []
    }

    /// Batch statistics move. Call it after an update that was finite.
    package func settle() { tape.settle() }
}
