import Autodiff
import Collectives
import Layers

/// The size of a decoder.
package struct DecoderSettings: SettingsTree {
    /// Channels of the last doubling.
    package var channels = 32

    package init() {}

    package static let help = [
        "channels": "channels of the decoder's last layer but one; earlier layers have up to 8 times as many"
    ]

    /// Throws `InputError` where a value is out of its range.
    package func check() throws {
        try require((1...4096).contains(channels), "decoder.channels", channels, "1 to 4096")
    }
}

/// The decoder of the publication of Deep InfoMax: a linear layer to a small map, 4x4 transposed convolutions that
/// double the map, each with batch norm and rectifier, then a 3x3 convolution.
///
/// An image of 32x32 is made from a map of 4x4 by three doublings, with 8, 4, 2 and 1 times `channels`. Other sizes
/// take as many doublings as leave at least 4 pixels each way, with at most 8 times `channels`.
package struct ConvolutionalDecoder {
    /// The kinds of output of the last convolution.
    package enum Output {
        /// Pixels in -1...1, by a hyperbolic tangent.
        case tanh
        /// Logits of pixels in 0...1, for a Bernoulli likelihood.
        case logits
    }

    private let map: (height: Int, width: Int, channels: Int)
    private let linear: Linear
    private let linearNorm: BatchNorm
    private var doublings: [(TransposedConv2D, BatchNorm)] = []
    private let last: Conv2D
    private let output: Output

    /// Largest side of the map that the first layer makes.
    private static let largestMap = 16

    /// - Parameters:
    ///   - inputs: width of the input.
    ///   - image: shape of the images.
    ///   - channels: channels of the last doubling.
    /// - Throws: `InputError` for images whose sides have too few factors of 2.
    package init(
        _ declare: Declarations, inputs: Int, image: MapShape, channels: Int, output: Output,
        batchNorm: BatchNormScope = .sync
    ) throws {
        self.output = output
        let (height, width) = (image.height, image.width)
        let count = (0...12).last { (height | width) % (1 << $0) == 0 && min(height, width) >> $0 >= 4 } ?? 0
        map = (height >> count, width >> count, channels << min(count, 3))
        guard min(height, width) >= 4, max(map.height, map.width) <= Self.largestMap else {
            throw InputError(
                "images of \(height)x\(width) can't be reconstructed: halving both sides several times must give "
                    + "whole numbers from 4 to \(Self.largestMap), as for 28, 32, 64, 96 or 224")
        }
        let units = map.height * map.width * map.channels
        linear = Linear(declare, "linear", inputs: inputs, outputs: units, bias: false)
        linearNorm = BatchNorm(declare, "linear_norm", channels: units, rectified: true, scope: batchNorm)
        var inputs = map.channels
        for index in 0..<count {
            let outputs = channels << min(count - index - 1, 3)
            doublings.append(
                (
                    TransposedConv2D(
                        declare, "double\(index)", inputs: inputs, outputs: outputs, kernel: 4, stride: 2, padding: 1),
                    BatchNorm(declare, "norm\(index)", channels: outputs, rectified: true, scope: batchNorm)
                ))
            inputs = outputs
        }
        last = Conv2D(declare, "output", inputs: inputs, outputs: image.channels, kernel: 3, stride: 1, padding: 1)
    }

    /// Images [n, height, width, channels] from x [n, inputs]. Collective in training with batch norms of `sync` scope,
    /// in both directions.
    package func callAsFunction(_ tape: Tape, _ x: Variable) throws -> Variable {
        let flat = try linearNorm(tape, linear(tape, x))
        var y = tape.reshape(flat, [x.shape[0], map.height, map.width, map.channels])
        for (double, norm) in doublings { y = try norm(tape, double(tape, y)) }
        let values = try last(tape, y)
        return switch output {
        case .tanh: tape.hyperbolicTangent(values)
        case .logits: values
        }
    }
}
