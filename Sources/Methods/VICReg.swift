import Autodiff
import Collectives
import Datasets
import Layers
import Networks
import Objectives
import Training

package struct VICRegSettings: ProjectedSettings {
    package var encoder = EncoderSettings(code: 256)
    package var projector = HeadSettings(hidden: [512, 512], width: 512)
    /// λ, μ and ν of the paper, at least 0.
    package var invarianceWeight = 25.0
    package var varianceWeight = 25.0
    package var covarianceWeight = 1.0
    package var batchNorm: BatchNormScope = .sync
    package var optimiser = OptimiserSettings.ofViews

    package init() {}

    package static let parts: [String: any SettingsTree.Type] = [
        "encoder": EncoderSettings.self, "projector": HeadSettings.self, "optimiser": OptimiserSettings.self,
    ]
    package static let help = [
        "invarianceWeight": "weight of the distance between two views, at least 0",
        "varianceWeight": "weight of the variance that dimensions lack, at least 0",
        "covarianceWeight": "weight of covariances between dimensions, at least 0",
        "batchNorm": BatchNormScope.help,
    ]

    package func check() throws {
        try checkNetwork()
        for (name, weight) in [
            ("invarianceWeight", invarianceWeight), ("varianceWeight", varianceWeight),
            ("covarianceWeight", covarianceWeight),
        ] {
            try require((0...1e6).contains(weight), name, weight, "0 to 1000000")
        }
    }
}

/// VICReg (Bardes et al. 2022): projections of two views of an image are equal (invariance), each dimension varies over the
/// batch (variance), and dimensions don't repeat each other (covariance). There are no negatives.
package final class VICReg: ProjectedMethod {
    package typealias Settings = VICRegSettings

    package static let name = "vicreg"

    private let settings: VICRegSettings
    private let model: ParameterGroup
    package let network: ProjectedEncoder

    package static var defaults: Configuration<VICReg> { .ofViews }

    package static func recipe(_ settings: VICRegSettings, _ data: ViewSettings) throws -> ViewRecipe {
        try data.recipe(ofViews: 2, for: settings.encoder, method: name)
    }

    package init(_ settings: VICRegSettings, card: ViewCard, _ declare: Declarations) throws {
        self.settings = settings
        try card.check()
        (model, network) = try declare.group("model", .descends(settings.optimiser)) {
            try settings.network($0, card: card, last: .linear(bias: false))
        }
    }

    package func turns(at step: Int) -> [Turn] { [Turn(model)] }

    package func terms(_ pass: Pass, _ batch: ViewBatch) throws -> [Term] {
        let (tape, network) = (pass.tape, network)
        let z = try pass.views(of: batch, counts: [2]) { tape, x in [try network(tape, x)] }[0]  // [n, width] each
        let (variance, covariance) = try tape.varianceAndCovariance(z)
        return [
            Term(
                "invariance", settings.invarianceWeight, tape.meanSquaredDifference(z[0], z[1]), uninformed: 0),
            Term("variance", settings.varianceWeight, variance, uninformed: 0.99),
            Term("covariance", settings.covarianceWeight, covariance, uninformed: 0),
            try .deviation(of: z, on: tape),
        ]
    }

    package func summary(batch: Int) -> (networks: String, objective: String) {
        (
            "\(network.encoder), projector \(settings.projector)",
            "\(settings.invarianceWeight) x invariance + \(settings.varianceWeight) x variance + "
                + "\(settings.covarianceWeight) x covariance of two views"
        )
    }
}
