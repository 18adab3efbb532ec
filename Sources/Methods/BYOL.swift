import Autodiff
import Collectives
import Datasets
import Layers
import Networks
import Objectives
import Training

package struct BYOLSettings: ViewEncoderSettings {
    package var encoder = EncoderSettings(code: 256)
    package var projector = HeadSettings()
    package var predictor = HeadSettings()
    package var momentum = Momentum()
    package var batchNorm: BatchNormScope = .sync
    package var optimiser: AdamSettings = {
        var settings = AdamSettings()
        settings.rate = 1e-3
        settings.schedule = .cosine
        return settings
    }()

    /// A network of one hidden layer with batch norm and ReLU.
    package struct HeadSettings: SettingsTree {
        /// Units of the hidden layer.
        package var hidden = 512
        /// Of what comes out. The predictor's is the projector's.
        package var width = 128

        package init() {}

        package static let help = ["hidden": "units of the hidden layer", "width": "width of what comes out"]

        fileprivate func check(_ name: String) throws {
            try require((1...65536).contains(hidden), "\(name).hidden", hidden, "1 to 65536")
            try require((1...65536).contains(width), "\(name).width", width, "1 to 65536")
        }
    }

    package init() {}

    package static let parts: [String: any SettingsTree.Type] = [
        "encoder": EncoderSettings.self, "projector": HeadSettings.self, "predictor": HeadSettings.self,
        "momentum": Momentum.self, "optimiser": AdamSettings.self,
    ]
    package static let help = ["batchNorm": BatchNormScope.help]

    package func check() throws {
        try encoder.check()
        try projector.check("projector")
        try predictor.check("predictor")
        try require(
            predictor.width == projector.width, "predictor.width", predictor.width,
            "\(projector.width), the projector's: one is compared with the other")
        try momentum.check("momentum")
        try optimiser.check("optimiser")
    }
}

/// Bootstrap your own latent (Grill et al. 2020): of two views of an image, an online network predicts from one what a
/// slowly following copy makes of the other. There are no negatives.
package final class BYOL: Method {
    package typealias Settings = BYOLSettings
    package typealias Source = ViewSource
    /// `projection` is what the online projector makes of the code.
    package enum Layer: String, CaseIterable, Sendable { case code, fc, conv, local, projection }

    package static let name = "byol"

    private let settings: BYOLSettings
    private let online, head: ParameterGroup
    private let fast, slow: (encoder: ConvolutionalEncoder, projector: MLP)
    private let predictor: MLP

    package static var defaults: Configuration<BYOL> {
        var result = Configuration<BYOL>()
        result.batch = 256
        result.data.augmentation = Augmentation(padCrop: 4, flip: true)  // views have to differ
        return result
    }

    package static func recipe(_ settings: BYOLSettings, _ data: ViewSettings) throws -> ViewRecipe {
        guard data.augmentation.changesImages else {
            throw InputError(
                "byol learns from two different views of an image, and data.augmentation leaves both as they are: set "
                    + "data.augmentation.padCrop or another of its settings")
        }
        return ViewRecipe([data.augmentation, data.augmentation])
    }

    package init(_ settings: BYOLSettings, card: ViewCard, _ declare: Declarations) throws {
        self.settings = settings
        try card.check()
        func head(_ declare: Declarations, _ name: String, inputs: Int, _ head: BYOLSettings.HeadSettings) -> MLP {
            // As published without a last bias: the predictor's batch norm would take the projector's off again, and
            // Adam make whole steps of the rounding that is its gradient.
            MLP(
                declare, name, inputs: inputs, widths: [head.hidden, head.width],
                hidden: .normalised(settings.batchNorm), lastBias: false)
        }
        func branch(_ declare: Declarations) throws -> (encoder: ConvolutionalEncoder, projector: MLP) {
            let encoder = try ConvolutionalEncoder(
                declare.within("encoder"), settings.encoder, image: card.image, codeBias: false,
                batchNorm: settings.batchNorm)
            return (encoder, head(declare, "projector", inputs: settings.encoder.code, settings.projector))
        }
        (online, fast) = try declare.group("online", .adam(settings.optimiser), branch)
        (self.head, predictor) = declare.group("predictor", .adam(settings.optimiser)) {
            head($0, "predictor", inputs: settings.projector.width, settings.predictor)
        }
        (_, slow) = try declare.group("target", .follows(online, settings.momentum)) {
            try branch($0.within("target"))
        }
    }

    /// The target is no player: it is constant, and follows.
    package func turns(at step: Int) -> [Turn] { [Turn(online, head)] }

    package func terms(_ pass: Pass, _ batch: ViewBatch) throws -> [Term] {
        let (tape, n) = (pass.tape, batch.count)
        let (fast, slow, predictor) = (fast, slow, predictor)
        // Both views in one batch, so that batch norms can't tell them apart: [2n, width].
        let p = try pass.apply(batch.images) { tape, x in
            [try predictor(tape, fast.projector(tape, fast.encoder(tape, x).code))]
        }[0]
        let t = try pass.apply(batch.images) { tape, x in
            [try slow.projector(tape, slow.encoder(tape, x).code)]
        }[0]
        let (first, second) = (0..<n, n..<2 * n)
        return [
            Term(
                "distance", 1,
                tape.add(
                    tape.cosineDistance(tape.rows(p, first), tape.rows(t, second)),
                    tape.cosineDistance(tape.rows(p, second), tape.rows(t, first))))
        ]
    }

    package func features(_ tape: Tape, _ batch: ViewBatch, _ layers: [Layer]) throws -> [Variable] {
        let encoding = try fast.encoder(tape, tape.constant(batch.images))
        return try layers.map { layer in
            try EncoderLayer(rawValue: layer.rawValue).map { encoding[$0] } ?? fast.projector(tape, encoding.code)
        }
    }

    package func summary(batch: Int) -> (networks: String, objective: String) {
        (
            "\(fast.encoder), and a copy that follows with momentum \(settings.momentum.start) to "
                + "\(settings.momentum.end)",
            "of two views, the projection of one (\(settings.projector.width) wide) predicted from the other"
        )
    }
}
