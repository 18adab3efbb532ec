import Autodiff
import Collectives
import Datasets
import Layers
import Networks
import Objectives
import Training

package struct SimCLRSettings: ViewEncoderSettings {
    package var encoder = EncoderSettings(code: 256)
    package var projector = HeadSettings()
    /// τ, by which scores are divided.
    package var temperature = 0.5
    package var batchNorm: BatchNormScope = .sync
    package var optimiser = OptimiserSettings.ofViews

    package init() {}

    package static let parts: [String: any SettingsTree.Type] = [
        "encoder": EncoderSettings.self, "projector": HeadSettings.self, "optimiser": OptimiserSettings.self,
    ]
    package static let help = [
        "temperature": "divides the scores, above 0",
        "batchNorm": BatchNormScope.help,
    ]

    package func check() throws {
        try encoder.check()
        try projector.check("projector")
        try require(temperature >= 1e-3 && temperature <= 1e3, "temperature", temperature, "0.001 to 1000")
        try optimiser.check("optimiser")
    }
}

/// SimCLR (Chen et al. 2020): the projections of two views of an image are alike, and unlike those of all other images of
/// the batch.
package final class SimCLR: Method {
    package typealias Settings = SimCLRSettings
    package typealias Source = ViewSource
    package typealias Layer = ProjectedLayer

    package static let name = "simclr"

    private let settings: SimCLRSettings
    private let model: ParameterGroup
    private let network: ProjectedEncoder

    package static var defaults: Configuration<SimCLR> { .ofViews }

    package static func recipe(_ settings: SimCLRSettings, _ data: ViewSettings) throws -> ViewRecipe {
        ViewRecipe([ViewGroup(try data.differentViews(2, for: name))])
    }

    package init(_ settings: SimCLRSettings, card: ViewCard, _ declare: Declarations) throws {
        self.settings = settings
        try card.check()
        (model, network) = try declare.group("model", .descends(settings.optimiser)) {
            try ProjectedEncoder(
                $0, settings.encoder, projector: settings.projector, image: card.image,
                batchNorm: settings.batchNorm, last: .normalised(settings.batchNorm))
        }
    }

    package func turns(at step: Int) -> [Turn] { [Turn(model)] }

    package func terms(_ pass: Pass, _ batch: ViewBatch) throws -> [Term] {
        let (tape, n, network) = (pass.tape, batch.count, network)
        // Both views are in one batch, so that batch norms treat them alike: [2n, width].
        let z = tape.unitRows(try pass.apply(batch.images) { tape, x in [try network(tape, x)] }[0])
        let loss = try tape.ntXent(
            tape.rows(z, 0..<n), tape.rows(z, n..<2 * n), temperature: settings.temperature)
        let ceiling = Double(2 * tape.shares.total - 1).logarithm
        return [Term("contrast", 1, loss, ceiling: ceiling), try .deviation(of: z, on: tape)]
    }

    package func features(_ tape: Tape, _ batch: ViewBatch, _ layers: [ProjectedLayer]) throws -> [Variable] {
        try network.features(tape, tape.constant(batch.images), layers)
    }

    package func summary(batch: Int) -> (networks: String, objective: String) {
        (
            "\(network.encoder), projector \(settings.projector)",
            "two views of an image against \(2 * batch - 2) views of others of all ranks, temperature "
                + "\(settings.temperature)"
        )
    }
}
