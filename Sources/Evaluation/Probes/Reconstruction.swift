import Autodiff
import Collectives
import Datasets
import Layers
import Networks
import Tensors

/// How much of an image its features keep. A decoder is trained by squared error on frozen features of the training
/// images. Its score is the multi-scale structural similarity of the test images to those that it makes from their
/// features.
package struct Reconstruction {
    /// Channels of the decoder's last doubling; the published decoder has 64.
    package var channels = 32
    /// Images of a batch, over all ranks.
    package var batch = 64
    /// Training steps of the decoder.
    package var steps = 1000
    /// Learning rate of Adam at the start; it falls to 0 along a cosine.
    package var rate = 1e-3

    private static let block = 256

    package init() {}

    /// Throws an `InputError` unless images of this shape can be reconstructed and compared.
    package func checkShape(_ shape: ImageShape) throws {
        _ = try StructuralSimilarity(shape)
        _ = try decoder(Declarations(), inputs: 1, shape: shape)
    }

    private func decoder(
        _ declare: Declarations, inputs: Int, shape: ImageShape
    ) throws -> ConvolutionalDecoder {
        try ConvolutionalDecoder(
            declare, inputs: inputs,
            image: MapShape(height: shape.height, width: shape.width, channels: shape.channels), channels: channels,
            output: .tanh)
    }

    /// The note of a table on its values, for images of this shape.
    package func description(of shape: ImageShape) throws -> String {
        let index = try StructuralSimilarity(shape)
        return "MS-SSIM over \(index.scales) of 5 scales, decoders trained for \(steps) steps of \(batch) images"
    }

    /// Mean similarity over the test images of all ranks, in 0...1. Collective; the same on every rank.
    /// - Parameter seed: sets the decoder's start and the order of the rows.
    /// - Throws: `InputError` for features without images, or images of a size that no decoder makes.
    package func callAsFunction(
        train: Features, test: Features, seed: UInt64, ranks: any Ranks, device: Device,
        progress: (String) -> Void = { _ in }
    ) throws -> Double {
        try check(train: train, test: test)
        guard let pictures = train.pictures else {
            throw InputError("features without their images can't be scored by reconstruction")
        }
        guard channels >= 1 && batch >= 2 && steps >= 1 && rate > 0 else {
            throw InputError(
                "reconstruction with \(channels) channels, batch \(batch), \(steps) steps and rate \(rate): they must "
                    + "be at least 1, at least 2, at least 1 and above 0")
        }
        let declarations = Declarations()
        let decoder = try decoder(declarations, inputs: train.dimension, shape: pictures.shape)
        let parameters = ParameterSet(declarations, device: device, seed: seed)
        var settings = OptimiserSettings()
        (settings.rate, settings.schedule, settings.warmupSteps) = (rate, .cosine, 0)
        let standardisation = try Standardisation(of: train, ranks: ranks, device: device)
        let training = ProbeTraining(
            name: "reconstruction", features: train, standardisation: standardisation,
            rows: Array(0..<Int32(train.rows)), seed: seed, ranks: ranks, device: device)
        try training(
            parameters, batch: batch, steps: steps, rate: { settings.rate(at: $0, of: steps) }, progress: progress,
            loss: { batch in
                let target = pictures.tensor(of: batch.rows, device: device)
                return batch.tape.meanSquaredError(try decoder(batch.tape, batch.x), target: target)
            })
        return try Self.similarity(to: test, ranks: ranks, device: device) { rows in
            let tape = Tape(device: device, ranks: ranks, shares: test.shares, mode: .evaluation)
            let x = standardisation.tensor(of: test, rows: Array(rows), device: device)
            return try decoder(tape, tape.constant(x)).value
        }
    }

    /// Mean similarity of the images of all ranks to other images, in 0...1. Collective; the same on every rank.
    /// - Parameter images: returns the other images of some rows, counted from this rank's first, [rows, height, width,
    ///   channels], in -1...1.
    package static func similarity(
        to features: Features, ranks: any Ranks, device: Device, images: (_ rows: Range<Int>) throws -> Tensor
    ) throws -> Double {
        let sum = try ranks.agree {
            guard let pictures = features.pictures else {
                throw InputError("features without their images can't be compared with others")
            }
            let index = try StructuralSimilarity(pictures.shape)
            var sum = 0.0
            try features.forEachBlock(of: block) { rows in
                let originals = pictures.tensor(of: Array(rows), device: device)
                let others = try images(rows)
                for i in 0..<rows.count {
                    let start = i * pictures.shape.size
                    sum += index(originals.base + start, others.base + start)
                }
            }
            return sum
        }
        return try ranks.sum([sum])[0] / Double(features.rows)
    }
}

extension StructuralSimilarity {
    /// For pixels in -1...1.
    fileprivate init(_ shape: ImageShape) throws {
        try self.init(height: shape.height, width: shape.width, channels: shape.channels, range: 2)
    }
}
