import Autodiff
import Collectives
import Data
import Encoders
import Layers
import Objectives
import Tensors

/// What is trained: an encoder and the objective's critic, with all their parameters.
package final class Model {
    package let device: Device
    package let encoder: ConvolutionalEncoder
    package let parameters: ParameterSet
    private let objective: LocalDIM

    /// - Parameter card: the images that the encoder is made for.
    /// - Throws: `InputError` when the configured encoder doesn't fit the images.
    package init(_ configuration: Configuration, card: ModelCard, device: Device) throws {
        self.device = device
        let kind = try card.encoderKind(configuration.encoder.kind)
        let declare = Declarations()
        encoder = declare.scope("encoder") {
            ConvolutionalEncoder(
                $0, kind: kind, channels: card.channels, codeSize: configuration.encoder.code,
                codeBias: configuration.objective.seesShiftOfGlobals,
                batchNorm: configuration.batchNorm)
        }
        objective = LocalDIM(
            declare, channels: ConvolutionalEncoder.localChannels, code: configuration.encoder.code,
            critic: configuration.critic, objective: configuration.objective, batchNorm: configuration.batchNorm)
        parameters = ParameterSet(declare, device: device, seed: configuration.seed)
    }

    /// This rank's part of the loss over the global batch. Collective, and so is `backward` from it.
    /// - Parameter images: [n, H, W, channels], this rank's, normalised.
    package func loss(_ tape: Tape, images: Tensor) throws -> Variable {
        let encoding = try encoder(tape, tape.constant(images))
        return try objective(tape, locals: encoding.local, code: encoding.code)
    }

    /// Leaves the gradient of the global loss in the parameters, the same bits on every rank. Collective.
    /// - Returns: this rank's part of the loss.
    package func gradients(images: Tensor, shares: Shares, ranks: any Ranks) throws -> Double {
        let tape = Tape(device: device, ranks: ranks, shares: shares)
        let loss = try loss(tape, images: images)
        try tape.backward(from: loss)
        try parameters.sumGradients(over: ranks)
        return Double(loss.value.base[0])
    }

    /// What a checkpoint keeps of the model, by module path.
    var arrays: [NamedArray] {
        parameters.parameters.map { NamedArray(name: $0.name, shape: $0.shape, values: $0.value.elements) }
    }
}

/// What one must know of the training images to use the encoder.
package struct ModelCard: Codable, Equatable, Sendable {
    package let height: Int
    package let width: Int
    package let channels: Int
    package let normalisation: Normalisation

    package init(height: Int, width: Int, channels: Int, normalisation: Normalisation) {
        self.height = height
        self.width = width
        self.channels = channels
        self.normalisation = normalisation
    }

    func encoderKind(_ setting: Configuration.EncoderSettings.Kind) throws -> EncoderKind {
        let fitting = try EncoderKind.fitting(height: height, width: width)
        switch setting {
        case .automatic: return fitting
        case .basic28x28, .basic32x32:
            guard setting.rawValue == fitting.rawValue else {
                throw InputError(
                    "encoder.kind \(setting.rawValue) doesn't fit images of \(height)x\(width): use \(fitting.rawValue)"
                )
            }
            return fitting
        }
    }
}
