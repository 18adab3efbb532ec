import Autodiff
import Collectives
import Datasets
import Layers
import Tensors

/// The decoder that Deep InfoMax was published with: a linear layer to a small map, transposed convolutions of 4x4 that
/// double it, each with batch norm and rectifier, then a 3x3 convolution and tanh.
///
/// An image of 32x32 is made from a map of 4x4 by three doublings, with 8, 4, 2 and 1 times `channels`. Other sizes take
/// as many doublings as leave at least 4 each way, and never more than 8 times `channels`.
struct Decoder {
    private let map: (height: Int, width: Int, channels: Int)
    private let linear: Linear
    private let linearNorm: BatchNorm
    private var doublings: [(TransposedConv2D, BatchNorm)] = []
    private let output: Conv2D

    /// Largest side of the map that the first layer makes.
    private static let largestMap = 16

    /// - Parameters:
    ///   - inputs: width of what is decoded.
    ///   - channels: of the last doubling.
    /// - Throws: `InputError` for images whose sides have too few factors of 2.
    init(_ declare: Declarations, inputs: Int, shape: ImageShape, channels: Int) throws {
        let (height, width) = (shape.height, shape.width)
        let count = (0...12).last { (height | width) % (1 << $0) == 0 && min(height, width) >> $0 >= 4 } ?? 0
        map = (height >> count, width >> count, channels << min(count, 3))
        guard min(height, width) >= 4, max(map.height, map.width) <= Self.largestMap else {
            throw InputError(
                "images of \(height)x\(width) can't be reconstructed: halving both sides must lead to whole numbers "
                    + "from 4 to \(Self.largestMap), as for 28, 32, 64, 96 or 224")
        }
        let units = map.height * map.width * map.channels
        linear = Linear(declare, "linear", inputs: inputs, outputs: units, bias: false)
        linearNorm = BatchNorm(declare, "linear_norm", channels: units, rectified: true)
        var inputs = map.channels
        for place in 0..<count {
            let outputs = channels << min(count - place - 1, 3)
            doublings.append(
                (
                    TransposedConv2D(
                        declare, "double\(place)", inputs: inputs, outputs: outputs, kernel: 4, stride: 2, padding: 1),
                    BatchNorm(declare, "norm\(place)", channels: outputs, rectified: true)
                ))
            inputs = outputs
        }
        output = Conv2D(declare, "output", inputs: inputs, outputs: shape.channels, kernel: 3, stride: 1, padding: 1)
    }

    /// Images [n, height, width, channels] with values in -1...1 from x [n, inputs].
    func callAsFunction(_ tape: Tape, _ x: Variable) throws -> Variable {
        let flat = try linearNorm(tape, linear(tape, x))
        var y = tape.reshape(flat, [x.shape[0], map.height, map.width, map.channels])
        for (double, norm) in doublings { y = try norm(tape, double(tape, y)) }
        return tape.hyperbolicTangent(try output(tape, y))
    }
}
