import Autodiff
import Collectives
import Datasets
import Layers
import Networks
import Objectives
import Training

package struct BYOLSettings: ProjectedSettings {
    package var encoder = EncoderSettings(code: 256)
    package var projector = HeadSettings()
    package var predictor = HeadSettings()
    package var momentum = Momentum()
    package var batchNorm: BatchNormScope = .sync
    package var optimiser = OptimiserSettings.ofViews

    package init() {}

    package static let parts: [String: any SettingsTree.Type] = [
        "encoder": EncoderSettings.self, "projector": HeadSettings.self, "predictor": HeadSettings.self,
        "momentum": Momentum.self, "optimiser": OptimiserSettings.self,
    ]
    package static let help = ["batchNorm": BatchNormScope.help]

    package func check() throws {
        try checkNetwork()
        try predictor.check("predictor")
        try require(
            predictor.width == projector.width, "predictor.width", predictor.width,
            "\(projector.width), as projector.width, because their outputs are compared")
        try momentum.check("momentum")
    }
}

/// Bootstrap your own latent (Grill et al. 2020). There are two views of an image. From one, an online network predicts
/// the output that a slowly following copy has for the other. There are no negatives.
package final class BYOL: ProjectedMethod {
    package typealias Settings = BYOLSettings

    package static let name = "byol"

    private let settings: BYOLSettings
    private let online, head: ParameterGroup
    /// The online network.
    package let network: ProjectedEncoder
    private let slow: ProjectedEncoder
    private let predictor: MLP

    package static var defaults: Configuration<BYOL> {
        var result = Configuration<BYOL>.ofViews
        result.data.augmentation = Augmentation(padCrop: 4, flip: true)
        return result
    }

    package static func recipe(_ settings: BYOLSettings, _ data: ViewSettings) throws -> ViewRecipe {
        try data.recipe(ofViews: 2, for: settings.encoder, method: name)
    }

    package init(_ settings: BYOLSettings, card: ViewCard, _ declare: Declarations) throws {
        self.settings = settings
        try card.check()
        // Heads have no last bias, as published. The predictor's batch norm would remove the projector's bias, so its
        // gradient would be only rounding, of which Adam makes whole steps.
        let last = MLP.Last.linear(bias: false)
        func branch(_ declare: Declarations) throws -> ProjectedEncoder {
            try settings.network(declare, card: card, last: last)
        }
        (online, network) = try declare.group("online", .descends(settings.optimiser), branch)
        (head, predictor) = declare.group("predictor", .descends(settings.optimiser)) {
            settings.predictor.network(
                $0, "predictor", inputs: settings.projector.width, batchNorm: settings.batchNorm, last: last)
        }
        (_, slow) = try declare.group("target", .follows(online, settings.momentum)) {
            try branch($0.within("target"))
        }
    }

    /// The target isn't a player: it is constant in the pass, and follows afterwards.
    package func turns(at step: Int) -> [Turn] { [Turn(online, head)] }

    package func terms(_ pass: Pass, _ batch: ViewBatch) throws -> [Term] {
        let (tape, network, slow, predictor) = (pass.tape, network, slow, predictor)
        // [n, width] each
        let p = try pass.views(of: batch, counts: [2]) { tape, x in [try predictor(tape, network(tape, x))] }[0]
        let t = try pass.views(of: batch, counts: [2]) { tape, x in [try slow(tape, x)] }[0]
        let distance = tape.add(tape.cosineDistance(p[0], t[1]), tape.cosineDistance(p[1], t[0]))
        return [Term("distance", 1, distance, uninformed: 0), try .deviation(of: p, on: tape)]
    }

    package func summary(batch: Int) -> (networks: String, objective: String) {
        (
            "\(network.encoder), and a copy that follows with momentum \(settings.momentum.start) to "
                + "\(settings.momentum.end)",
            "predicts the projection (width \(settings.projector.width)) of one view from the other"
        )
    }
}
