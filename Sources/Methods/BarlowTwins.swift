import Autodiff
import Collectives
import Datasets
import Layers
import Networks
import Objectives
import Training

package struct BarlowTwinsSettings: ProjectedSettings {
    package var encoder = EncoderSettings(code: 256)
    package var projector = HeadSettings(hidden: [512, 512], width: 512)
    /// λ, weight of correlations between different dimensions.
    package var redundancyWeight = 0.0051
    /// Factor of the whole loss, as in the published code's setting for small data.
    package var scale = 0.1
    package var batchNorm: BatchNormScope = .sync
    package var optimiser = OptimiserSettings.ofViews

    package init() {}

    package static let parts: [String: any SettingsTree.Type] = [
        "encoder": EncoderSettings.self, "projector": HeadSettings.self, "optimiser": OptimiserSettings.self,
    ]
    package static let help = [
        "redundancyWeight": "weight of correlations between different dimensions, at least 0",
        "scale": "factor of the whole loss, above 0",
        "batchNorm": BatchNormScope.help,
    ]

    package func check() throws {
        try checkNetwork()
        try require((0...1e3).contains(redundancyWeight), "redundancyWeight", redundancyWeight, "0 to 1000")
        try require(scale > 0 && scale <= 1e3, "scale", scale, "above 0, at most 1000")
    }
}

/// Barlow Twins (Zbontar et al. 2021): each dimension of a projection is the same for two views of an image, and
/// independent of the other dimensions. There are no negatives.
package final class BarlowTwins: ProjectedMethod {
    package typealias Settings = BarlowTwinsSettings

    package static let name = "barlowTwins"

    private let settings: BarlowTwinsSettings
    private let model: ParameterGroup
    package let network: ProjectedEncoder

    package static var defaults: Configuration<BarlowTwins> { .ofViews }

    package static func recipe(_ settings: BarlowTwinsSettings, _ data: ViewSettings) throws -> ViewRecipe {
        try data.recipe(ofViews: 2, for: settings.encoder, method: name)
    }

    package init(_ settings: BarlowTwinsSettings, card: ViewCard, _ declare: Declarations) throws {
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
        let loss = try tape.barlowTwins(z[0], z[1], redundancyWeight: settings.redundancyWeight)
        return [
            Term("cross_correlation", settings.scale, loss, uninformed: Double(settings.projector.width)),
            try .deviation(of: z, on: tape),
        ]
    }

    package func summary(batch: Int) -> (networks: String, objective: String) {
        (
            "\(network.encoder), projector \(settings.projector)",
            "cross-correlation of two views, off the diagonal times \(settings.redundancyWeight)"
        )
    }
}
