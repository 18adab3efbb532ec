import Autodiff

/// The outputs of an encoder for a batch of n images.
package struct Encoding {
    private let backbone: BackboneOutputs
    /// The global vector, [n, K].
    package let code: Variable

    init(_ backbone: BackboneOutputs, code: Variable) {
        self.backbone = backbone
        self.code = code
    }

    /// The local feature map, [n, H, W, C].
    package var local: Variable { backbone.stages[backbone.local] }

    /// A layer, as features: [n, …].
    package func output(_ layer: EncoderLayer, on tape: Tape) -> Variable {
        switch layer {
        case .code: code
        case .fc: backbone.features
        case .conv: backbone.stages[backbone.stages.count - 1]
        case .local: local
        case .stages: tape.concatenateColumns(backbone.stages.map { backbone.pooling(tape, $0) })
        }
    }
}

/// The outputs of an encoder that can be features.
package enum EncoderLayer: String, CaseIterable, Sendable {
    /// The global vector.
    case code
    /// The last fully connected layer after its rectifier; in a network without one, the pooled last map.
    case fc
    /// The output of the last convolution's block, after batch norm, ReLU and pool, flattened as height, width,
    /// channels. In an encoder without convolutions, the first fully connected layer.
    case conv
    /// The local feature map, flattened as height, width, channels.
    case local
    /// The outputs of all blocks, stages or groups, pooled over their locations, side by side.
    case stages
}
