import Collectives

/// The kinds of encoders: a published net, one chosen by the size of the images, one of given blocks or widths, a
/// residual network, or a fast small one.
package enum EncoderKind: String, Choice {
    /// The published net for the images' size, otherwise one by rule.
    case automatic
    /// The DCGAN-like nets of Hjelm et al. 2019 (appendix A.2 and the published configurations), and its AlexNet.
    case basic28x28, basic32x32, basic64x64, alex64x64
    /// Blocks and widths as configured.
    case convolutional
    /// Widths as configured, on the flattened image.
    case fullyConnected
    /// A residual network.
    case residual
    /// A network after airbench94.
    case fast

    /// A published net and the height and width of its images; nil where there is none of this name.
    package var published: (side: Int, architecture: EncoderArchitecture)? {
        switch self {
        case .basic28x28: (28, .basic(kernel: 5, padding: 2, channels: [64, 128], local: 1))
        case .basic32x32: (32, .basic(kernel: 4, padding: 1, channels: [64, 128, 256], local: 1))
        case .basic64x64: (64, .basic(kernel: 4, padding: 1, channels: [64, 128, 256, 512], local: 2))
        case .alex64x64: (64, .alex)
        case .automatic, .convolutional, .fullyConnected, .residual, .fast: nil
        }
    }

    /// The kind that `automatic` means for images of this shape.
    package static func fitting(_ image: MapShape) -> EncoderKind {
        if image.locations == 1 { return .fullyConnected }
        let side = image.height == image.width ? image.height : 0
        return allCases.first { $0.published?.side == side } ?? .convolutional
    }
}

extension EncoderArchitecture {
    /// Convolutions of stride 2, and one fully connected layer.
    fileprivate static func basic(kernel: Int, padding: Int, channels: [Int], local: Int) -> EncoderArchitecture {
        EncoderArchitecture(
            blocks: channels.map { EncoderBlock($0, kernel: kernel, stride: 2, padding: padding) }, local: local,
            fullyConnected: [1024])
    }

    /// AlexNet for 64x64 images. Its local map is 384 channels at 15x15.
    fileprivate static var alex: EncoderArchitecture {
        EncoderArchitecture(
            blocks: [
                EncoderBlock(96, kernel: 3, stride: 1, padding: 1, pool: 3),
                EncoderBlock(192, kernel: 3, stride: 1, padding: 1, pool: 3),
                EncoderBlock(384, kernel: 3, stride: 1, padding: 1),
                EncoderBlock(384, kernel: 3, stride: 1, padding: 1),
                EncoderBlock(192, kernel: 3, stride: 1, padding: 1, pool: 3),
            ], local: 2, fullyConnected: [4096, 4096])
    }

    /// A net by rule. Blocks of 64, 128, 256, 512, 512, … channels halve the image until its longer side is at most 7:
    /// 4x4 convolutions of stride 2 (3x3 where a side is down to 1). The local map is the last whose longer side is at
    /// least 7, otherwise the first. An image that is so small at the start gets one 3x3 block that keeps its size. For
    /// 32x32 and 64x64 it gives the published nets.
    package init(fitting image: MapShape) {
        guard image.locations > 1 else {
            self.init(blocks: [], local: 0, fullyConnected: Self.vectorWidths)
            return
        }
        var blocks: [EncoderBlock] = []
        var sides = [image.height, image.width]
        var local = 0
        while sides.contains(where: { $0 > 7 }) {
            let kernel = sides.contains(1) ? 3 : 4
            sides = sides.map { ($0 + 2 - kernel) / 2 + 1 }
            if sides.contains(where: { $0 >= 7 }) { local = blocks.count }
            blocks.append(EncoderBlock(min(64 << min(blocks.count, 3), 512), kernel: kernel, stride: 2, padding: 1))
        }
        if blocks.isEmpty { blocks = [EncoderBlock(64, kernel: 3, stride: 1, padding: 1)] }
        self.init(blocks: blocks, local: local, fullyConnected: Self.imageWidths)
    }

    /// Default widths of fully connected layers after convolutions.
    static let imageWidths = [1024]
    /// Default widths of fully connected layers without convolutions.
    static let vectorWidths = [1024, 1024]
}
