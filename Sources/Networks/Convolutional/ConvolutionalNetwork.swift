import Autodiff
import Layers

/// A network of any `EncoderArchitecture`, for images of one shape: blocks `conv1`, `norm1`, `conv2`, …, and fully
/// connected layers `fc`, `fc_norm`, `fc2`, `fc2_norm`, ….
struct ConvolutionalNetwork: Backbone {
    private let architecture: EncoderArchitecture
    let localMap: MapShape
    let takesAnySize = false
    private var blocks: [(convolution: Conv2D, norm: BatchNorm, sizes: EncoderBlock)] = []
    private var layers: [(linear: Linear, norm: BatchNorm)] = []
    let width: Int

    /// - Throws: `InputError` where the images are too small for a block.
    init(
        _ declare: Declarations, _ architecture: EncoderArchitecture, image: MapShape, batchNorm: BatchNormScope
    ) throws {
        self.architecture = architecture
        let maps = try architecture.maps(of: image)
        localMap = maps[architecture.local]
        var last = image
        for (index, (block, map)) in zip(architecture.blocks, maps).enumerated() {
            blocks.append(
                (
                    Conv2D(
                        declare, "conv\(index + 1)", inputs: last.channels, outputs: block.channels,
                        kernel: block.kernel, stride: block.stride, padding: block.padding),
                    BatchNorm(
                        declare, "norm\(index + 1)", channels: block.channels, rectified: true, scope: batchNorm),
                    block
                ))
            last = map
        }
        var inputs = last.locations * last.channels
        for (index, width) in architecture.fullyConnected.enumerated() {
            let name = index == 0 ? "fc" : "fc\(index + 1)"
            layers.append(
                (
                    Linear(declare, name, inputs: inputs, outputs: width, bias: false),
                    BatchNorm(declare, "\(name)_norm", channels: width, rectified: true, scope: batchNorm)
                ))
            inputs = width
        }
        self.width = inputs
    }

    func callAsFunction(_ tape: Tape, _ images: Variable) throws -> BackboneOutputs {
        let n = images.shape[0]
        var x = images
        var maps: [Variable] = []
        for block in blocks {
            x = try block.norm(tape, block.convolution(tape, x))
            if block.sizes.pool > 0 { x = tape.maxPool(x, window: block.sizes.pool, stride: block.sizes.poolStride) }
            maps.append(x)
        }
        x = tape.reshape(x, [n, x.shape[1] * x.shape[2] * x.shape[3]])
        for layer in layers {
            x = try layer.norm(tape, layer.linear(tape, x))
            if maps.isEmpty { maps.append(tape.reshape(x, [n, 1, 1, x.shape[1]])) }
        }
        return BackboneOutputs(stages: maps, local: architecture.local, features: x)
    }

    /// `64-128-256 channels, 1024 fully connected`
    var description: String {
        func chain(_ widths: [Int]) -> String { widths.map(String.init).joined(separator: "-") }
        let convolutions = blocks.isEmpty ? "" : "\(chain(architecture.blocks.map(\.channels))) channels, "
        return convolutions + "\(chain(architecture.fullyConnected)) fully connected"
    }
}
