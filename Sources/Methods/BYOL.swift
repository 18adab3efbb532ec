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
        /// Width of the output. The predictor's must equal the projector's.
        package var width = 128

        package init() {}

        package static let help = ["hidden": "units of the hidden layer", "width": "width of the output"]

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
            "\(projector.width), as projector.width, because their outputs are compared")
        try momentum.check("momentum")
        try optimiser.check("optimiser")
    }
}

/// Bootstrap your own latent (Grill et al. 2020). There are two views of an image. From one, an online network predicts
/// the output that a slowly following copy has for the other. There are no negatives.
package final class BYOL: Method {
    package typealias Settings = BYOLSettings
    package typealias Source = ViewSource
    /// `projection` is the output of the online projector.
    package enum Layer: String, CaseIterable, Sendable { case code, fc, conv, local, projection }

    package static let name = "byol"

    private let settings: BYOLSettings
    private let online, head: ParameterGroup
    private let fast, slow: (encoder: ConvolutionalEncoder, projector: MLP)
    private let predictor: MLP

    package static var defaults: Configuration<BYOL> {
        var result = Configuration<BYOL>()
        result.batch = 256
        result.data.augmentation = Augmentation(padCrop: 4, flip: true)  // views must differ
        return result
    }

    package static func recipe(_ settings: BYOLSettings, _ data: ViewSettings) throws -> ViewRecipe {
        guard data.augmentation.changesImages else {
            throw InputError(
                "byol learns from two different views of an image, but data.augmentation makes no difference between "
                    + "them: set data.augmentation.padCrop or another of its settings")
        }
        return ViewRecipe([data.augmentation, data.augmentation])
    }

    package init(_ settings: BYOLSettings, card: ViewCard, _ declare: Declarations) throws {
        self.settings = settings
        try card.check()
        func head(_ declare: Declarations, _ name: String, inputs: Int, _ head: BYOLSettings.HeadSettings) -> MLP {
            // There is no last bias, as published. The predictor's batch norm would remove the projector's bias, so its
            // gradient would be only rounding, of which Adam makes whole steps.
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

    /// The target isn't a player: it is constant in the pass, and follows afterwards.
    package func turns(at step: Int) -> [Turn] { [Turn(online, head)] }

    package func terms(_ pass: Pass, _ batch: ViewBatch) throws -> [Term] {
        let (tape, n) = (pass.tape, batch.count)
        let (fast, slow, predictor) = (fast, slow, predictor)
        // Both views are in one batch, so that batch norms treat them alike: [2n, width].
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
            "predicts the projection (width \(settings.projector.width)) of one view from the other"
        )
    }
}
