import Autodiff
import Collectives
import Datasets
import Layers
import Networks
import Objectives
import Training

package struct SimSiamSettings: ProjectedSettings {
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
        try checkNetwork()
        try predictor.check("predictor")
        try require(
            predictor.width == projector.width, "predictor.width", predictor.width,
            "\(projector.width), as projector.width, because their outputs are compared")
    }
}

/// SimSiam (Chen & He 2021): from one view of an image a predictor finds the projection of the other, which gets no
/// gradient. There are no negatives and no second network.
package final class SimSiam: ProjectedMethod {
    package typealias Settings = SimSiamSettings

    package static let name = "simsiam"

    private let settings: SimSiamSettings
    private let model: ParameterGroup
    package let network: ProjectedEncoder
    private let predictor: MLP

    package static var defaults: Configuration<SimSiam> { .ofViews }

    package static func recipe(_ settings: SimSiamSettings, _ data: ViewSettings) throws -> ViewRecipe {
        try data.recipe(ofViews: 2, for: settings.encoder, method: name)
    }

    package init(_ settings: SimSiamSettings, card: ViewCard, _ declare: Declarations) throws {
        self.settings = settings
        try card.check()
        // The projector's last norm has no scale and shift, and no layer before a norm has a bias, as published.
        (model, (network, predictor)) = try declare.group("model", .descends(settings.optimiser)) { declare in
            (
                try settings.network(declare, card: card, last: .normalised(settings.batchNorm)),
                settings.predictor.network(
                    declare, "predictor", inputs: settings.projector.width, batchNorm: settings.batchNorm,
                    last: .linear(bias: true))
            )
        }
    }

    package func turns(at step: Int) -> [Turn] { [Turn(model)] }

    package func terms(_ pass: Pass, _ batch: ViewBatch) throws -> [Term] {
        let (tape, network, predictor) = (pass.tape, network, predictor)
        let outputs = try pass.views(of: batch, counts: [2]) { tape, x in
            let z = try network(tape, x)
            return [z, try predictor(tape, z)]
        }
        let (z, p) = (outputs[0].map { tape.constant($0.value) }, outputs[1])  // [n, width] each; targets don't move
        let loss = tape.weightedSum([
            (tape.negativeCosine(p[0], z[1]), 0.5), (tape.negativeCosine(p[1], z[0]), 0.5),
        ])
        return [Term("similarity", 1, loss, uninformed: -1), try .deviation(of: z, on: tape)]
    }

    package func summary(batch: Int) -> (networks: String, objective: String) {
        (
            "\(network.encoder), projector \(settings.projector), predictor \(settings.predictor)",
            "predicts the projection of one view from the other"
        )
    }
}
