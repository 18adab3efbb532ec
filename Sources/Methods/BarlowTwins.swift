import Autodiff
import Collectives
import Datasets
import Layers
import Networks
import Objectives
import Training

package struct BarlowTwinsSettings: ViewEncoderSettings {
    package var encoder = EncoderSettings(code: 256)
    package var projector = HeadSettings(hidden: [512, 512], width: 512)
    /// λ, weight of correlations between different dimensions.
    package var redundancy = 0.0051
    /// Factor of the whole loss, as in the published code's setting for small data.
    package var scale = 0.1
    package var batchNorm: BatchNormScope = .sync
    package var optimiser = OptimiserSettings.ofViews

    package init() {}

    package static let parts: [String: any SettingsTree.Type] = [
        "encoder": EncoderSettings.self, "projector": HeadSettings.self, "optimiser": OptimiserSettings.self,
    ]
    package static let help = [
        "redundancy": "weight of correlations between different dimensions, at least 0",
        "scale": "factor of the whole loss, above 0",
        "batchNorm": BatchNormScope.help,
    ]

    package func check() throws {
        try encoder.check()
        try projector.check("projector")
        try require((0...1e3).contains(redundancy), "redundancy", redundancy, "0 to 1000")
        try require(scale > 0 && scale <= 1e3, "scale", scale, "above 0, at most 1000")
        try optimiser.check("optimiser")
    }
}

/// Barlow Twins (Zbontar et al. 2021): each dimension of a projection is the same for two views of an image, and
/// independent of the other dimensions. There are no negatives.
package final class BarlowTwins: Method {
    package typealias Settings = BarlowTwinsSettings
    package typealias Source = ViewSource
    package typealias Layer = ProjectedLayer

    package static let name = "barlowTwins"

    private let settings: BarlowTwinsSettings
    private let model: ParameterGroup
    private let network: ProjectedEncoder

    package static var defaults: Configuration<BarlowTwins> { .ofViews }

    package static func recipe(_ settings: BarlowTwinsSettings, _ data: ViewSettings) throws -> ViewRecipe {
        ViewRecipe(Array(repeating: try data.augmentationOfViews(for: name), count: 2))
    }

    package init(_ settings: BarlowTwinsSettings, card: ViewCard, _ declare: Declarations) throws {
        self.settings = settings
        try card.check()
        (model, network) = try declare.group("model", .descends(settings.optimiser)) {
            try ProjectedEncoder(
                $0, settings.encoder, projector: settings.projector, image: card.image,
                batchNorm: settings.batchNorm, last: .linear(bias: false))
        }
    }

    package func turns(at step: Int) -> [Turn] { [Turn(model)] }

    package func terms(_ pass: Pass, _ batch: ViewBatch) throws -> [Term] {
        let (tape, network) = (pass.tape, network)
        let z = try pass.views(of: batch, counts: [2]) { tape, x in [try network(tape, x)] }[0]  // [n, width] each
        let loss = try tape.barlowTwins(z[0], z[1], redundancy: settings.redundancy)
        return [
            Term("redundancy", settings.scale, loss, uninformed: Double(settings.projector.width)),
            try .deviation(of: z, on: tape),
        ]
    }

    package func features(_ tape: Tape, _ batch: ViewBatch, _ layers: [ProjectedLayer]) throws -> [Variable] {
        try network.features(tape, tape.constant(batch.images), layers)
    }

    package func summary(batch: Int) -> (networks: String, objective: String) {
        (
            "\(network.encoder), projector \(settings.projector)",
            "cross-correlation of two views, off the diagonal times \(settings.redundancy)"
        )
    }
}
