import Autodiff
import Collectives
import Datasets
import Networks
import Tensors
import Training

/// Which of an encoder's outputs are taken as features.
package enum FeatureLayer: String, Codable, CaseIterable, Sendable {
    /// The global vector.
    case code
    /// The last fully connected layer behind its rectifier.
    case fc
    /// What the last convolution's block gives, behind batch norm, ReLU and pool, flattened as height, width, channels.
    /// Of an encoder without convolutions the first fully connected layer.
    case conv
    /// The local feature map, flattened as height, width, channels.
    case local

    fileprivate func variable(of encoding: Encoding) -> Variable {
        switch self {
        case .code: encoding.code
        case .fc: encoding.fullyConnected
        case .conv: encoding.lastConvolution
        case .local: encoding.local
        }
    }
}

/// A model that is only used, with the statistics of its training.
package struct FrozenEncoder {
    private let model: Model
    private let card: ModelCard
    /// Images that go through the encoder at a time.
    private static let block = 256

    package init(_ model: Model, card: ModelCard) {
        self.model = model
        self.card = card
    }

    /// Features of the images that this rank holds, in order: a [held, width] tensor a layer. Not collective.
    /// - Throws: `InputError` when the images aren't of the size that the encoder was made for.
    package func features(of dataset: ImageDataset, layers: [FeatureLayer]) throws -> [FeatureLayer: Tensor] {
        let shape = dataset.shape
        guard (shape.height, shape.width, shape.channels) == (card.height, card.width, card.channels) else {
            throw InputError(
                "images are \(shape.height)x\(shape.width)x\(shape.channels), and the encoder was trained on "
                    + "\(card.height)x\(card.width)x\(card.channels)")
        }
        let device = model.device
        var result: [FeatureLayer: Tensor] = [:]
        for start in stride(from: 0, through: dataset.images.count, by: Self.block) {
            let held = dataset.images.dropFirst(start).prefix(Self.block)
            let images = device.tensor([held.count, card.height, card.width, card.channels])
            dataset.fill(images.base, indices: Array(held), normalisation: card.normalisation)
            let tape = Tape(
                device: device, ranks: SingleRank(), shares: Shares(counts: [held.count], rank: 0), mode: .evaluation)
            let encoding = try model.encoder(tape, tape.constant(images))
            for layer in layers {
                let value = layer.variable(of: encoding).value
                let width = value.shape.dropFirst().reduce(1, *)
                let whole = result[layer] ?? device.tensor([dataset.images.count, width])
                whole.view(from: start * width, shape: [held.count, width]).copy(
                    from: value.reshaped([held.count, width]))
                result[layer] = whole
            }
        }
        return result
    }
}
