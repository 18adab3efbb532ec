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
    package var optimiser = OptimiserSettings.ofViews

    package init() {}

    package static let parts: [String: any SettingsTree.Type] = [
        "encoder": EncoderSettings.self, "projector": HeadSettings.self, "predictor": HeadSettings.self,
        "momentum": Momentum.self, "optimiser": OptimiserSettings.self,
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
    package typealias Layer = ProjectedLayer

    package static let name = "byol"

    private let settings: BYOLSettings
    private let online, head: ParameterGroup
    private let fast, slow: ProjectedEncoder
    private let predictor: MLP

    package static var defaults: Configuration<BYOL> { .ofViews }

    package static func recipe(_ settings: BYOLSettings, _ data: ViewSettings) throws -> ViewRecipe {
        ViewRecipe([ViewGroup(try data.differentViews(2, for: name))])
    }

    package init(_ settings: BYOLSettings, card: ViewCard, _ declare: Declarations) throws {
        self.settings = settings
        try card.check()
        // Heads have no last bias, as published. The predictor's batch norm would remove the projector's bias, so its
        // gradient would be only rounding, of which Adam makes whole steps.
        let last = MLP.Last.linear(bias: false)
        func branch(_ declare: Declarations) throws -> ProjectedEncoder {
            try ProjectedEncoder(
                declare, settings.encoder, projector: settings.projector, image: card.image,
                batchNorm: settings.batchNorm, last: last)
        }
        (online, fast) = try declare.group("online", .descends(settings.optimiser), branch)
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
        let (tape, n) = (pass.tape, batch.count)
        let (fast, slow, predictor) = (fast, slow, predictor)
        // Both views are in one batch, so that batch norms treat them alike: [2n, width].
        let p = try pass.apply(batch.images) { tape, x in
            [try predictor(tape, fast(tape, x))]
        }[0]
        let t = try pass.apply(batch.images) { tape, x in [try slow(tape, x)] }[0]
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
        try fast.features(tape, tape.constant(batch.images), layers)
    }

    package func summary(batch: Int) -> (networks: String, objective: String) {
        (
            "\(fast.encoder), and a copy that follows with momentum \(settings.momentum.start) to "
                + "\(settings.momentum.end)",
            "predicts the projection (width \(settings.projector.width)) of one view from the other"
        )
    }
}
