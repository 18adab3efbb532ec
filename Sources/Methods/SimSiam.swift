import Autodiff
import Collectives
import Datasets
import Layers
import Networks
import Objectives
import Training

package struct SimSiamSettings: ViewEncoderSettings {
    package var encoder = EncoderSettings(code: 256)
    package var projector = HeadSettings(hidden: [512], width: 512)
    package var predictor = HeadSettings(hidden: [128], width: 512)
    package var batchNorm: BatchNormScope = .sync
    package var optimiser = OptimiserSettings.ofViews

    package init() {}

    package static let parts: [String: any SettingsTree.Type] = [
        "encoder": EncoderSettings.self, "projector": HeadSettings.self, "predictor": HeadSettings.self,
        "optimiser": OptimiserSettings.self,
    ]
    package static let help = ["batchNorm": BatchNormScope.help]

    package func check() throws {
        try encoder.check()
        try projector.check("projector")
        try predictor.check("predictor")
        try require(
            predictor.width == projector.width, "predictor.width", predictor.width,
            "\(projector.width), as projector.width, because their outputs are compared")
        try optimiser.check("optimiser")
    }
}

/// SimSiam (Chen & He 2021): from one view of an image a predictor finds the projection of the other, which gets no
/// gradient. There are no negatives and no second network.
package final class SimSiam: Method {
    package typealias Settings = SimSiamSettings
    package typealias Source = ViewSource
    package typealias Layer = ProjectedLayer

    package static let name = "simsiam"

    private let settings: SimSiamSettings
    private let model: ParameterGroup
    private let network: ProjectedEncoder
    private let predictor: MLP

    package static var defaults: Configuration<SimSiam> { .ofViews }

    package static func recipe(_ settings: SimSiamSettings, _ data: ViewSettings) throws -> ViewRecipe {
        ViewRecipe([ViewGroup(try data.differentViews(2, for: name))])
    }

    package init(_ settings: SimSiamSettings, card: ViewCard, _ declare: Declarations) throws {
        self.settings = settings
        try card.check()
        // The projector's last norm has no scale and shift, and no layer before a norm has a bias, as published.
        (model, (network, predictor)) = try declare.group("model", .descends(settings.optimiser)) { declare in
            (
                try ProjectedEncoder(
                    declare, settings.encoder, projector: settings.projector, image: card.image,
                    batchNorm: settings.batchNorm, last: .normalised(settings.batchNorm)),
                settings.predictor.network(
                    declare, "predictor", inputs: settings.projector.width, batchNorm: settings.batchNorm,
                    last: .linear(bias: true))
            )
        }
    }

    package func turns(at step: Int) -> [Turn] { [Turn(model)] }

    package func terms(_ pass: Pass, _ batch: ViewBatch) throws -> [Term] {
        let (tape, n, network, predictor) = (pass.tape, batch.count, network, predictor)
        let outputs = try pass.apply(batch.images) { tape, x in
            let z = try network(tape, x)
            return [z, try predictor(tape, z)]
        }
        let (z, p) = (tape.constant(outputs[0].value), outputs[1])  // targets get no gradient: [2n, width]
        let (first, second) = (0..<n, n..<2 * n)
        let loss = tape.weightedSum([
            (tape.negativeCosine(tape.rows(p, first), tape.rows(z, second)), 0.5),
            (tape.negativeCosine(tape.rows(p, second), tape.rows(z, first)), 0.5),
        ])
        return [Term("similarity", 1, loss, uninformed: -1), try .deviation(of: tape.unitRows(z), on: tape)]
    }

    package func features(_ tape: Tape, _ batch: ViewBatch, _ layers: [ProjectedLayer]) throws -> [Variable] {
        try network.features(tape, tape.constant(batch.images), layers)
    }

    package func summary(batch: Int) -> (networks: String, objective: String) {
        (
            "\(network.encoder), projector \(settings.projector), predictor \(settings.predictor)",
            "predicts the projection of one view from the other"
        )
    }
}
