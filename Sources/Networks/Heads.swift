import Autodiff
import Collectives
import Layers

/// The widths of a projector or predictor: linear layers, each hidden one with batch norm and ReLU.
package struct HeadSettings: SettingsTree {
    /// Units of the hidden layers.
    package var hidden = Widths([512])
    /// Width of the output.
    package var width = 128

    package init() {}

    package init(hidden: [Int], width: Int) {
        self.hidden = Widths(hidden)
        self.width = width
    }

    package static let help = [
        "hidden": "units of the hidden layer, or of several: [512, 512]; [] for none",
        "width": "width of the output",
    ]
    package static let expectations = ["hidden": "a whole number, or a list of them"]

    /// - Parameter name: the path of these settings.
    /// - Throws: `InputError` where a value is out of its range.
    package func check(_ name: String) throws {
        for units in hidden.values { try require((1...65536).contains(units), "\(name).hidden", units, "1 to 65536") }
        try require(
            hidden.values.count <= 16, "\(name).hidden", "a list of \(hidden.values.count)", "at most 16 widths")
        try require((1...65536).contains(width), "\(name).width", width, "1 to 65536")
    }

    /// The network.
    package func network(
        _ declare: Declarations, _ name: String, inputs: Int, batchNorm: BatchNormScope, last: MLP.Last
    ) -> MLP {
        MLP(
            declare, name, inputs: inputs, widths: hidden.values + [width], hidden: .normalised(batchNorm), last: last)
    }
}

extension HeadSettings: CustomStringConvertible {
    /// `512-128`
    package var description: String { (hidden.values + [width]).map(String.init).joined(separator: "-") }
}

/// Widths of layers.
package struct Widths: ListSetting {
    package var values: [Int]

    package init(_ values: [Int]) { self.values = values }
}

/// An encoder with a projector on its code, `encoder` and `projector`: the part that methods of several views train.
package struct ProjectedEncoder {
    package let encoder: ImageEncoder
    private let projector: MLP

    /// - Parameters:
    ///   - image: properties of the images.
    ///   - last: the projector's last layer.
    /// - Throws: `InputError` where the settings don't fit these images.
    package init(
        _ declare: Declarations, _ settings: EncoderSettings, projector: HeadSettings, image: ImageProperties,
        batchNorm: BatchNormScope, last: MLP.Last
    ) throws {
        encoder = try ImageEncoder(
            declare.within("encoder"), settings, image: image, codeBias: false, batchNorm: batchNorm)
        self.projector = projector.network(
            declare, "projector", inputs: encoder.codeSize, batchNorm: batchNorm, last: last)
    }

    /// Projections of images [n, H, W, channels], [n, width]. Collective in training with batch norms of `sync` scope,
    /// in both directions.
    package func callAsFunction(_ tape: Tape, _ images: Variable) throws -> Variable {
        try projector(tape, encoder(tape, images).code)
    }

    /// Features of images [n, H, W, channels], [n, …] each.
    package func features(_ tape: Tape, _ images: Variable, _ layers: [ProjectedLayer]) throws -> [Variable] {
        let encoding = try encoder(tape, images)
        return try layers.map { layer in
            try EncoderLayer(rawValue: layer.rawValue).map { encoding.output($0, on: tape) }
                ?? projector(tape, encoding.code)
        }
    }
}

/// The outputs of a projected encoder that can be features: those of the encoder (`EncoderLayer`), and the projector's.
package enum ProjectedLayer: String, CaseIterable, Sendable { case code, fc, conv, local, stages, projection }
