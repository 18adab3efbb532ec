import Autodiff
import Collectives
import Layers
import Networks
import Tensors

/// An encoder's output over a batch that passes in pieces, of which only the output is kept (two-phase accumulation,
/// Gao et al. 2021, "Scaling deep contrastive learning batch size under memory limited setup", section 3).
///
/// Batch norms have the statistics of the whole batch, and their gradients too, so this equals one pass but for
/// rounding. With L batch norms it is L + 1 rounds forwards, and as many there and back.
struct PiecewiseEncoding {
    /// [n, H, W, C], the local map.
    let map: Tensor
    /// [n, K]
    let code: Tensor
    private let encoder: ConvolutionalEncoder
    private let images: Tensor
    private let pieces: [Range<Int>]
    private let scope: BatchNormScope
    private let newTape: () -> Tape
    private let ranks: any Ranks
    private let forward = PiecewiseSums()

    /// Collective.
    /// - Parameters:
    ///   - images: [n, H, W, channels]
    ///   - size: images of a piece, at least 1.
    ///   - movesStatistics: whether running statistics take in the batch's.
    init(
        _ encoder: ConvolutionalEncoder, images: Tensor, size: Int, scope: BatchNormScope, movesStatistics: Bool,
        device: Device, ranks: any Ranks, shares: Shares
    ) throws {
        self.encoder = encoder
        self.images = images
        self.scope = scope
        self.ranks = ranks
        let count = images.shape[0]
        // A rank without images has a piece of none, for it must add its zeros to every sum.
        pieces = stride(from: 0, to: max(count, 1), by: size).map { $0..<min($0 + size, count) }
        let forward = forward
        newTape = {
            let tape = Tape(device: device, ranks: ranks, shares: shares)
            tape.movesStatistics = movesStatistics
            tape.normalisation = (forward, PiecewiseSums())
            return tape
        }
        let local = encoder.localMap
        map = device.tensor([count, local.height, local.width, local.channels])
        code = device.tensor([count, encoder.codeSize])
        repeat {
            for piece in pieces {
                let tape = newTape()
                tape.recordsRules = false
                do {
                    let encoding = try encode(tape, piece)
                    Self.part(map, piece).copy(from: encoding.local.value)
                    Self.part(code, piece).copy(from: encoding.code.value)
                } catch is PassEnded {}
            }
        } while try !forward.advance(sum)
    }

    /// Adds to the gradients of the encoder's parameters, given those by its outputs. Collective.
    func backward(map mapGradient: Tensor?, code codeGradient: Tensor?) throws {
        let backward = PiecewiseSums()
        var isLast = false
        repeat {
            // The first batch norm is the last that gradients come to.
            isLast = backward.knows(0) || !forward.knows(0)
            for piece in pieces {
                let tape = newTape()
                tape.normalisation = (forward, backward)
                tape.accumulates = true
                tape.ignoresParameters = !isLast
                let encoding = try encode(tape, piece)
                // Copies, because rules overwrite what they are given.
                let seeds = [(encoding.local, mapGradient), (encoding.code, codeGradient)].compactMap {
                    output, gradient in
                    gradient.map { gradient in
                        let copy = tape.device.tensor(output.shape)
                        copy.copy(from: Self.part(gradient, piece))
                        return (output, copy)
                    }
                }
                do { try tape.backward(from: seeds) } catch is PassEnded {}
            }
            _ = try backward.advance(sum)
        } while !isLast
    }

    private func encode(_ tape: Tape, _ piece: Range<Int>) throws -> Encoding {
        try encoder(tape, tape.constant(Self.part(images, piece)))
    }

    private func sum(_ values: [Double]) throws -> [Double] { scope == .sync ? try ranks.sum(values) : values }

    /// Some of the images of an array with one entry an image.
    private static func part(_ whole: Tensor, _ images: Range<Int>) -> Tensor {
        let size = whole.shape.dropFirst().reduce(1, *)
        return whole.view(from: images.lowerBound * size, shape: [images.count] + whole.shape.dropFirst())
    }
}
