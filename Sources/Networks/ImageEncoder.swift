import Autodiff
import Collectives
import Layers

/// The properties of images that an encoder is made for.
package struct ImageProperties {
    package let shape: MapShape
    /// The covariance of patches of 2x2 pixels of the images, around 0, [4C, 4C], with the index (channel·2 + row)·2 +
    /// column; nil where it isn't known.
    package let patchCovariance: [Float]?

    package init(_ shape: MapShape, patchCovariance: [Float]? = nil) {
        self.shape = shape
        self.patchCovariance = patchCovariance
    }
}

/// An encoder of images of any kind: a network of the settings' kind, then a linear layer `code`.
package struct ImageEncoder {
    private let backbone: any Backbone
    /// nil where the features are the code.
    private let code: Linear?
    /// Shape of the images that it was made for.
    private let image: MapShape
    /// K, width of the code.
    package let codeSize: Int

    /// Shape of the local feature map, for images of the size that the encoder was made for.
    package var localMap: MapShape { backbone.localMap }
    /// C, channels of the local feature map.
    package var localChannels: Int { localMap.channels }
    /// M², locations of the local feature map.
    package var locations: Int { localMap.locations }
    /// Whether images of other heights and widths than those that it was made for may pass. Local maps then have another
    /// size.
    package var takesAnySize: Bool { backbone.takesAnySize }

    /// Most parameters of an encoder. They take 4 GiB, and gradients and moments as much again each.
    package static let mostParameters = 1 << 30

    /// Declares the parameters. Its size is checked before that.
    ///
    /// - Parameters:
    ///   - codeSize: K, width of the global vector, if it isn't that of the settings; 0 to use the features as they are.
    ///   - codeBias: whether the code has a bias. It has no use if the objective doesn't see a shift of all codes.
    /// - Throws: `InputError` where the settings don't fit these images, or the encoder is too large.
    package init(
        _ declare: Declarations, _ settings: EncoderSettings, image: ImageProperties, codeSize: Int? = nil,
        codeBias: Bool, batchNorm: BatchNormScope
    ) throws {
        self.image = image.shape
        let settings = try settings.resolved(for: image.shape)
        let codeSize = codeSize ?? settings.code
        switch settings.kind {
        case .residual:
            try settings.residual.checkSize(image.shape, code: codeSize)
            backbone = ResidualNetwork(declare, settings.residual, image: image.shape, batchNorm: batchNorm)
        case .fast:
            try settings.fast.checkSize(image.shape, code: codeSize)
            backbone = try FastNetwork(declare, settings.fast, image: image, batchNorm: batchNorm)
        case .automatic, .basic28x28, .basic32x32, .basic64x64, .alex64x64, .convolutional, .fullyConnected:
            let architecture = try settings.architecture(for: image.shape)
            _ = try architecture.parameterCount(of: image.shape, code: codeSize, codeBias: codeBias)
            backbone = try ConvolutionalNetwork(declare, architecture, image: image.shape, batchNorm: batchNorm)
        }
        let width = backbone.width
        code = codeSize > 0 ? Linear(declare, "code", inputs: width, outputs: codeSize, bias: codeBias) : nil
        self.codeSize = codeSize > 0 ? codeSize : width
    }

    /// Collective in training with batch norms of `sync` scope, in both directions.
    /// - Parameter images: [n, H, W, channels].
    /// - Throws: `InputError` for images of another size, on all ranks, where only one size may pass.
    package func callAsFunction(_ tape: Tape, _ images: Variable) throws -> Encoding {
        let (height, width) = (images.shape[1], images.shape[2])
        guard takesAnySize || (height, width) == (image.height, image.width) else {
            throw InputError(
                "views of \(height)x\(width) can't pass this encoder, which is for \(image.height)x\(image.width) alone: "
                    + "set encoder.kind to fast or residual, or make all views as large as the images")
        }
        let outputs = try backbone(tape, images)
        return Encoding(outputs, code: try code.map { try $0(tape, outputs.features) } ?? outputs.features)
    }
}

extension ImageEncoder: CustomStringConvertible {
    /// One line: `64-128-256 channels, 1024 fully connected, local map 8x8x128`.
    package var description: String {
        "\(backbone), local map \(localMap.height)x\(localMap.width)x\(localMap.channels)"
    }
}
