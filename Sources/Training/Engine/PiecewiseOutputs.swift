import Autodiff
import Collectives
import Tensors

/// A network's outputs over a batch that passes in pieces, of which only the outputs are kept (two-phase accumulation,
/// Gao et al. 2021, "Scaling deep contrastive learning batch size under memory limited setup", section 3).
///
/// Batch norms have the statistics of the whole batch, and their gradients too, so this equals one pass but for
/// rounding. With L batch norms it is L + 1 rounds forwards, and as many there and back.
struct PiecewiseOutputs {
    /// [rows, …] each.
    let values: [Tensor]
    /// Whether some parameter that moves has a part in them.
    let needGradients: Bool
    private let x: Tensor
    private let network: (Tape, Variable) throws -> [Variable]
    private let pieces: [Range<Int>]
    private let newTape: (_ change: (inout Tape.Options) -> Void) -> Tape
    private let ranks: any Ranks
    private let forward: PiecewiseSums

    /// Collective.
    /// - Parameters:
    ///   - x: [rows, …]
    ///   - size: rows of a piece, at least 1.
    ///   - tape: of the whole pass, which gets the changes of batch statistics.
    init(
        _ x: Tensor, size: Int, of network: @escaping (Tape, Variable) throws -> [Variable], for tape: Tape
    ) throws {
        self.x = x
        self.network = network
        ranks = tape.ranks
        let rows = x.shape[0]
        // A rank without rows has a piece of none, for it must add its zeros to every sum.
        let pieces = stride(from: 0, to: max(rows, 1), by: size).map { $0..<min($0 + size, rows) }
        self.pieces = pieces
        let forward = PiecewiseSums()
        self.forward = forward
        let common = tape.optionsNow
        newTape = { change in
            var options = common
            options.normalisation = (forward, PiecewiseSums())
            change(&options)
            return Tape(device: tape.device, ranks: tape.ranks, shares: tape.shares, options: options)
        }
        var values: [Tensor] = []
        var needGradients = false
        repeat {
            for piece in pieces {
                let own = newTape { $0.recordsRules = false }
                do {
                    let outputs = try network(own, own.constant(Self.part(x, piece)))
                    if values.isEmpty { values = outputs.map { tape.device.tensor([rows] + $0.shape.dropFirst()) } }
                    for (whole, output) in zip(values, outputs) { Self.part(whole, piece).copy(from: output.value) }
                    needGradients = outputs.contains(where: own.needsGradient)
                } catch is PassEnded {}
                tape.takeChanges(of: own)
            }
        } while try !forward.advance(over: tape.ranks)
        self.values = values
        self.needGradients = needGradients
    }

    /// Adds to the gradients of the network's parameters, given those by its outputs, nil for outputs that the loss
    /// doesn't depend on. Collective.
    func backward(_ gradients: [Tensor?]) throws {
        let backward = PiecewiseSums()
        var isLast = false
        var isComplete = false
        repeat {
            // The first batch norm is the last that gradients come to, where it is in what moves.
            isLast = isComplete || backward.knows(0) || !forward.knows(0)
            for piece in pieces {
                let tape = newTape {
                    $0.normalisation = (forward, backward)
                    $0.accumulates = true
                    $0.ignoresParameters = !isLast
                }
                let outputs = try network(tape, tape.constant(Self.part(x, piece)))
                // Copies, because rules overwrite what they are given.
                let seeds = zip(outputs, gradients).compactMap { output, gradient in
                    gradient.map { gradient in
                        let copy = tape.device.tensor(output.shape)
                        copy.copy(from: Self.part(gradient, piece))
                        return (output, copy)
                    }
                }
                do { try tape.backward(from: seeds) } catch is PassEnded {}
            }
            isComplete = try backward.advance(over: ranks)
        } while !isLast
    }

    /// Some of the rows of an array.
    private static func part(_ whole: Tensor, _ rows: Range<Int>) -> Tensor {
        let size = whole.shape.dropFirst().reduce(1, *)
        return whole.view(from: rows.lowerBound * size, shape: [rows.count] + whole.shape.dropFirst())
    }
}
