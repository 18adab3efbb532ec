import Autodiff
import Layers

/// The outputs of an encoder for a batch of n images.
package struct Encoding {
    /// The local feature map, [n, H, W, C].
    package let local: Variable
    /// The output of the last block, [n, H', W', C'], after its batch norm, ReLU and pool; without blocks the local
    /// map.
    package let lastConvolution: Variable
    /// The last fully connected layer after its rectifier, [n, U].
    package let fullyConnected: Variable
    /// The global vector, [n, K].
    package let code: Variable

    package subscript(layer: EncoderLayer) -> Variable {
        switch layer {
        case .code: code
        case .fc: fullyConnected
        case .conv: lastConvolution
        case .local: local
        }
    }
}

/// The outputs of an encoder that can be features.
package enum EncoderLayer: String, CaseIterable, Sendable {
    /// The global vector.
    case code
    /// The last fully connected layer after its rectifier.
    case fc
    /// The output of the last convolution's block, after batch norm, ReLU and pool, flattened as height, width,
    /// channels. In an encoder without convolutions, the first fully connected layer.
    case conv
    /// The local feature map, flattened as height, width, channels.
    case local
}

/// An encoder of any architecture, for images of one shape: blocks `conv1`, `norm1`, `conv2`, …, fully connected layers
/// `fc`, `fc_norm`, `fc2`, `fc2_norm`, …, and a linear `code`.
package struct ConvolutionalEncoder {
    package let architecture: EncoderArchitecture
    /// Shape of the local feature map.
    package let localMap: MapShape
    private var blocks: [(convolution: Conv2D, norm: BatchNorm, sizes: EncoderBlock)] = []
    private var layers: [(linear: Linear, norm: BatchNorm)] = []
    /// K, width of the code.
    package let codeSize: Int
    private let code: Linear

    /// C, channels of the local feature map.
    package var localChannels: Int { localMap.channels }
    /// M², locations of the local feature map.
    package var locations: Int { localMap.locations }

    /// Declares the parameters. Nothing is allocated.
    ///
    /// - Parameters:
    ///   - image: shape of the images.
    ///   - codeSize: K, width of the global vector.
    ///   - codeBias: whether the code has a bias. It has no use if the objective doesn't see a shift of all codes.
    /// - Throws: `InputError` where the images are too small for a block, or the encoder is too large.
    package init(
        _ declare: Declarations, _ architecture: EncoderArchitecture, image: MapShape, codeSize: Int, codeBias: Bool,
        batchNorm: BatchNormScope
    ) throws {
        self.architecture = architecture
        let maps = try architecture.maps(of: image)
        _ = try architecture.parameterCount(of: image, code: codeSize, codeBias: codeBias)
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
        self.codeSize = codeSize
        code = Linear(declare, "code", inputs: inputs, outputs: codeSize, bias: codeBias)
    }

    /// The encoder that settings describe.
    /// - Throws: `InputError` where the settings don't fit these images.
    package init(
        _ declare: Declarations, _ settings: EncoderSettings, image: MapShape, codeBias: Bool, batchNorm: BatchNormScope
    ) throws {
        try self.init(
            declare, settings.architecture(for: image), image: image, codeSize: settings.code, codeBias: codeBias,
            batchNorm: batchNorm)
    }

    /// - Parameter images: [n, H, W, channels].
    package func callAsFunction(_ tape: Tape, _ images: Variable) throws -> Encoding {
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
        return Encoding(
            local: maps[architecture.local], lastConvolution: maps[maps.count - 1], fullyConnected: x,
            code: try code(tape, x))
    }
}

extension ConvolutionalEncoder: CustomStringConvertible {
    /// One line: `64-128-256 channels, 1024 fully connected, local map 8x8x128`.
    package var description: String {
        func chain(_ widths: [Int]) -> String { widths.map(String.init).joined(separator: "-") }
        let convolutions = blocks.isEmpty ? "" : "\(chain(architecture.blocks.map(\.channels))) channels, "
        return convolutions + "\(chain(architecture.fullyConnected)) fully connected, local map "
            + "\(localMap.height)x\(localMap.width)x\(localMap.channels)"
    }
}
