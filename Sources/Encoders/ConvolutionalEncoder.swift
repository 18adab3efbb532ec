import Autodiff
import Collectives
import Layers

/// The published Deep InfoMax encoders for small images (the DCGAN-like nets of Hjelm et al. 2019).
package enum EncoderKind: String, Codable, CaseIterable, Sendable {
    /// Two 5x5 convolutions; the local map is 128 channels at 7x7.
    case basic28x28
    /// Three 4x4 convolutions; the local map is 128 channels at 8x8.
    case basic32x32

    /// Height and width of its images.
    package var imageSize: Int {
        switch self {
        case .basic28x28: 28
        case .basic32x32: 32
        }
    }

    /// Convolutions of stride 2, in order.
    fileprivate var convolutions: [(channels: Int, kernel: Int, padding: Int)] {
        switch self {
        case .basic28x28: [(64, 5, 2), (128, 5, 2)]
        case .basic32x32: [(64, 4, 1), (128, 4, 1), (256, 4, 1)]
        }
    }

    /// Height and width of the last convolution's output.
    fileprivate var lastSize: Int { imageSize >> convolutions.count }

    /// M², locations of the local feature map.
    package var locations: Int {
        let side = imageSize >> (localBlock + 1)
        return side * side
    }

    /// The block whose output is the local feature map.
    fileprivate var localBlock: Int { 1 }

    /// The kind for images of this size.
    package static func fitting(height: Int, width: Int) throws -> EncoderKind {
        guard let kind = allCases.first(where: { $0.imageSize == height && height == width }) else {
            let known = allCases.map { "\($0.rawValue) for \($0.imageSize)x\($0.imageSize)" }.joined(separator: ", ")
            throw InputError("no encoder fits images of \(height)x\(width): there is \(known)")
        }
        return kind
    }
}

/// What an encoder makes of a batch of n images.
package struct Encoding {
    /// The local feature map, [n, H, W, C].
    package let local: Variable
    /// The fully connected layer behind its rectifier, [n, 1024].
    package let fullyConnected: Variable
    /// The global vector, [n, K].
    package let code: Variable
}

/// Convolution, batch norm and ReLU a block; then a fully connected layer of 1024; then a linear code.
package struct ConvolutionalEncoder {
    /// C, channels of the local feature map.
    package static let localChannels = 128
    package static let fullyConnectedUnits = 1024
    package let kind: EncoderKind
    private var convolutions: [Conv2D] = []
    private var norms: [BatchNorm] = []
    private let fullyConnected: Linear
    private let fullyConnectedNorm: BatchNorm
    private let code: Linear

    /// - Parameters:
    ///   - channels: of the images.
    ///   - codeSize: K, width of the global vector.
    ///   - codeBias: whether the code has a bias; without use where the objective doesn't see a shift of all codes.
    package init(
        _ declare: Declarations, kind: EncoderKind, channels: Int, codeSize: Int, codeBias: Bool,
        batchNorm: BatchNormScope
    ) {
        self.kind = kind
        var inputs = channels
        for (place, block) in kind.convolutions.enumerated() {
            convolutions.append(
                Conv2D(
                    declare, "conv\(place + 1)", inputs: inputs, outputs: block.channels, kernel: block.kernel,
                    stride: 2, padding: block.padding))
            norms.append(
                BatchNorm(
                    declare, "norm\(place + 1)", channels: block.channels, rectified: true, scope: batchNorm))
            inputs = block.channels
        }
        fullyConnected = Linear(
            declare, "fc", inputs: inputs * kind.lastSize * kind.lastSize, outputs: Self.fullyConnectedUnits,
            bias: false)
        fullyConnectedNorm = BatchNorm(
            declare, "fc_norm", channels: Self.fullyConnectedUnits, rectified: true, scope: batchNorm)
        code = Linear(declare, "code", inputs: Self.fullyConnectedUnits, outputs: codeSize, bias: codeBias)
    }

    /// - Parameter images: [n, H, W, channels].
    package func callAsFunction(_ tape: Tape, _ images: Variable) throws -> Encoding {
        var x = images
        var local = images
        for (place, (convolution, norm)) in zip(convolutions, norms).enumerated() {
            x = try norm(tape, convolution(tape, x))
            if place == kind.localBlock { local = x }
        }
        let flat = tape.reshape(x, [x.shape[0], x.shape[1] * x.shape[2] * x.shape[3]])
        let hidden = try fullyConnectedNorm(tape, fullyConnected(tape, flat))
        return Encoding(local: local, fullyConnected: hidden, code: try code(tape, hidden))
    }
}
