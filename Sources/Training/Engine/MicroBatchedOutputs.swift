import Autodiff
import Collectives
import Tensors

/// A network's outputs over a batch that passes in micro-batches. Only the outputs are kept (two-phase accumulation,
/// Gao et al. 2021, "Scaling deep contrastive learning batch size under memory limited setup", section 3).
///
/// Batch norms and their gradients use the statistics of the whole batch, so the result equals one pass except for
/// rounding. With L batch norms it takes L + 1 rounds forwards, and as many forwards and backwards.
struct MicroBatchedOutputs {
    /// [rows, …] each.
    let values: [Tensor]
    /// Whether they depend on a parameter that moves.
    let needGradients: Bool
    private let x: Tensor
    private let network: (Tape, Variable) throws -> [Variable]
    private let microBatches: [Range<Int>]
    private let newTape: (_ change: (inout Tape.Options) -> Void) -> Tape
    private let ranks: any Ranks
    private let forward: MicroBatchSums

    /// Collective.
    /// - Parameters:
    ///   - x: [rows, …]
    ///   - size: rows of a micro-batch, at least 1.
    ///   - tape: tape of the whole pass, which gets the changes of batch statistics.
    init(
        _ x: Tensor, size: Int, of network: @escaping (Tape, Variable) throws -> [Variable], for tape: Tape
    ) throws {
        self.x = x
        self.network = network
        ranks = tape.ranks
        let rowCount = x.shape[0]
        // A rank without rows has one empty micro-batch, because it must add its zeros to every sum.
        let microBatches = stride(from: 0, to: max(rowCount, 1), by: size).map { $0..<min($0 + size, rowCount) }
        self.microBatches = microBatches
        let forward = MicroBatchSums()
        self.forward = forward
        let common = tape.optionsNow
        newTape = { change in
            var options = common
            options.normalisation = (forward, MicroBatchSums())
            change(&options)
            return Tape(device: tape.device, ranks: tape.ranks, shares: tape.shares, options: options)
        }
        var values: [Tensor] = []
        var needGradients = false
        repeat {
            for rows in microBatches {
                let own = newTape { $0.recordsRules = false }
                do {
                    let outputs = try network(own, own.constant(Self.slice(x, rows)))
                    if values.isEmpty { values = outputs.map { tape.device.tensor([rowCount] + $0.shape.dropFirst()) } }
                    for (whole, output) in zip(values, outputs) { Self.slice(whole, rows).copy(from: output.value) }
                    needGradients = outputs.contains(where: own.needsGradient)
                } catch is PassEnded {}
                tape.takeChanges(of: own)
            }
        } while try !forward.advance(over: tape.ranks)
        self.values = values
        self.needGradients = needGradients
    }

    /// Adds to the gradients of the network's parameters, given the gradients of its outputs; nil for outputs that the
    /// loss doesn't depend on. Collective.
    func backward(_ gradients: [Tensor?]) throws {
        let backward = MicroBatchSums()
        var isLast = false
        var isComplete = false
        repeat {
            // Gradients reach the first batch norm last, if it is in a part that moves.
            isLast = isComplete || backward.knows(0) || !forward.knows(0)
            for rows in microBatches {
                let tape = newTape {
                    $0.normalisation = (forward, backward)
                    $0.accumulates = true
                    $0.ignoresParameters = !isLast
                }
                let outputs = try network(tape, tape.constant(Self.slice(x, rows)))
                // Copies, because backward rules overwrite the gradients that they are given.
                let seeds = zip(outputs, gradients).compactMap { output, gradient in
                    gradient.map { gradient in
                        let copy = tape.device.tensor(output.shape)
                        copy.copy(from: Self.slice(gradient, rows))
                        return (output, copy)
                    }
                }
                do { try tape.backward(from: seeds) } catch is PassEnded {}
            }
            isComplete = try backward.advance(over: ranks)
        } while !isLast
    }

    /// Some of the rows of an array.
    private static func slice(_ whole: Tensor, _ rows: Range<Int>) -> Tensor {
        let size = whole.shape.dropFirst().reduce(1, *)
        return whole.view(from: rows.lowerBound * size, shape: [rows.count] + whole.shape.dropFirst())
    }
}
