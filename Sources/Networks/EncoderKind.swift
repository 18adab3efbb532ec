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
