import Autodiff
import Collectives
import Datasets
import Layers
import Networks
import Objectives
import Training

package struct MultiPatchSettings: ViewEncoderSettings {
    package var encoder = EncoderSettings(code: 256)
    package var projector = HeadSettings(hidden: [512, 512], width: 128)
    /// Patches of each image, at least 2, and their side in pixels; 0 for the images' own size.
    package var patches = 8
    package var patchSize = 0
    /// λ, weight of the similarity.
    package var similarityWeight = 200.0
    /// ε of the coding rate.
    package var codingPrecision = 0.2
    package var batchNorm: BatchNormScope = .sync
    package var optimiser = OptimiserSettings.ofViews

    package init() {}

    package static let parts: [String: any SettingsTree.Type] = [
        "encoder": EncoderSettings.self, "projector": HeadSettings.self, "optimiser": OptimiserSettings.self,
    ]
    package static let help = [
        "patches": "patches of each image, 2 to 256, cropped by data.augmentation.crop",
        "patchSize": "side of patches in pixels; 0 for the images' own size",
        "similarityWeight": "weight of the cosine between a patch and the mean of its image's patches, at least 0",
        "codingPrecision": "distance at which codes count as different in the coding rate, squared; above 0",
        "batchNorm": BatchNormScope.help,
    ]

    package func check() throws {
        try encoder.check()
        try projector.check("projector")
        try require((2...256).contains(patches), "patches", patches, "2 to 256")
        try require(
            patchSize == 0 || (4...1024).contains(patchSize), "patchSize", patchSize, "0, or 4 to 1024 pixels")
        try require((0...1e6).contains(similarityWeight), "similarityWeight", similarityWeight, "0 to 1000000")
        try require(
            codingPrecision >= 1e-6 && codingPrecision <= 1e3, "codingPrecision", codingPrecision, "1e-6 to 1000")
        try require(
            projector.width <= 1024, "projector.width", projector.width,
            "at most 1024, because the coding rate takes width³ operations for each patch")
        try optimiser.check("optimiser")
    }
}

/// EMP-SSL (Tong et al. 2023): the projections of many patches of an image are near their mean, and those of each patch
/// fill all directions over the batch, by their coding rate.
package final class MultiPatch: Method {
    package typealias Settings = MultiPatchSettings
    package typealias Source = ViewSource
    package typealias Layer = ProjectedLayer

    package static let name = "multiPatch"

    private let settings: MultiPatchSettings
    private let model: ParameterGroup
    private let network: ProjectedEncoder

    package static var defaults: Configuration<MultiPatch> {
        var result = Configuration<MultiPatch>.ofViews
        result.run.batch = 128
        result.data.augmentation = Augmentation(.patches) ?? result.data.augmentation
        return result
    }

    package static func recipe(_ settings: MultiPatchSettings, _ data: ViewSettings) throws -> ViewRecipe {
        let patches = Array(repeating: try data.augmentationOfViews(for: name), count: settings.patches)
        return ViewRecipe([ViewGroup(patches, side: settings.patchSize == 0 ? nil : settings.patchSize)])
    }

    package init(_ settings: MultiPatchSettings, card: ViewCard, _ declare: Declarations) throws {
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
        let z = try pass.views(of: batch, counts: [settings.patches]) { tape, x in [try network(tape, x)] }[0]
            .map(tape.unitRows)  // [n, width] each
        let mean = tape.sum(z)
        let patches = Float(z.count)
        let similarity = tape.weightedSum(z.map { (tape.negativeCosine($0, mean), 1 / patches) })
        let width = Double(settings.projector.width)
        return [
            Term("similarity", settings.similarityWeight, similarity, uninformed: -1),
            Term(
                "coding_rate", 1, try tape.negativeCodingRate(z, precision: settings.codingPrecision),
                uninformed: -(1 + width / settings.codingPrecision).logarithm / 2),
            try .deviation(of: z, on: tape),
        ]
    }

    package func features(_ tape: Tape, _ batch: ViewBatch, _ layers: [ProjectedLayer]) throws -> [Variable] {
        try network.features(tape, tape.constant(batch.images), layers)
    }

    package func summary(batch: Int) -> (networks: String, objective: String) {
        (
            "\(network.encoder), projector \(settings.projector)",
            "\(settings.patches) patches of an image near their mean, and the coding rate of \(batch) images"
        )
    }
}
