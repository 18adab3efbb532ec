import Autodiff
import Collectives
import Datasets
import Layers
import Networks
import Objectives
import Training

package struct SimCLRSettings: ProjectedSettings {
    package var encoder = EncoderSettings(code: 256)
    package var projector = HeadSettings()
    package var views = ViewCounts()
    /// τ, by which scores are divided.
    package var temperature = 0.5
    package var batchNorm: BatchNormScope = .sync
    package var optimiser = OptimiserSettings.ofViews

    package init() {}

    package static let parts: [String: any SettingsTree.Type] = [
        "encoder": EncoderSettings.self, "projector": HeadSettings.self, "views": ViewCounts.self,
        "optimiser": OptimiserSettings.self,
    ]
    package static let help = [
        "temperature": "divides the scores, above 0",
        "batchNorm": BatchNormScope.help,
    ]

    package func check() throws {
        try checkNetwork()
        try views.check()
        try require(temperature >= 1e-3 && temperature <= 1e3, "temperature", temperature, "0.001 to 1000")
    }
}

/// SimCLR (Chen et al. 2020): the projections of two views of an image are alike, and unlike those of all other images of
/// the batch. With more views, each is compared with the mean of the image's large views.
package final class SimCLR: ProjectedMethod {
    package typealias Settings = SimCLRSettings

    package static let name = "simclr"

    private let settings: SimCLRSettings
    private let model: ParameterGroup
    package let network: ProjectedEncoder

    package static var defaults: Configuration<SimCLR> { .ofViews }

    package static func recipe(_ settings: SimCLRSettings, _ data: ViewSettings) throws -> ViewRecipe {
        ViewRecipe(settings.views.groups(try data.augmentationOfViews(for: name)))
            .serving(settings.encoder)
    }

    package init(_ settings: SimCLRSettings, card: ViewCard, _ declare: Declarations) throws {
        self.settings = settings
        try card.check()
        (model, network) = try declare.group("model", .descends(settings.optimiser)) {
            try settings.network($0, card: card, last: .normalised(settings.batchNorm))
        }
        try card.check(
            viewSizes: [
                "views.largeSize": settings.views.largeSize,
                "views.smallSize": settings.views.small > 0 ? settings.views.smallSize : 0,
            ], for: network.encoder)
    }

    package func turns(at step: Int) -> [Turn] { [Turn(model)] }

    package func terms(_ pass: Pass, _ batch: ViewBatch) throws -> [Term] {
        let (tape, network, counts) = (pass.tape, network, settings.views)
        let views = try pass.views(of: batch, counts: counts.counts) { tape, x in [try network(tape, x)] }[0]
        let z = views.map(tape.unitRows)  // [n, width] each
        let images = Double(tape.shares.total)
        let (loss, ceiling) =
            counts.all == 2
            ? (try tape.ntXent(z[0], z[1], temperature: settings.temperature), (2 * images - 1).logarithm)
            : (
                try tape.contrastWithMeans(
                    large: Array(z[..<counts.large]), small: Array(z[counts.large...]),
                    temperature: settings.temperature), images.logarithm
            )
        return [Term("contrast", 1, loss, ceiling: ceiling), try .deviation(of: z, on: tape)]
    }

    package func summary(batch: Int) -> (networks: String, objective: String) {
        (
            "\(network.encoder), projector \(settings.projector)",
            settings.views.all == 2
                ? "two views of an image against \(2 * batch - 2) views of others of all ranks, temperature "
                    + "\(settings.temperature)"
                : "\(settings.views.large) large and \(settings.views.small) small views of an image against the mean "
                    + "of its large ones, \(batch - 1) other images of all ranks, temperature \(settings.temperature)"
        )
    }
}
