import Autodiff
import Collectives
import Datasets
import Layers
import Networks
import Objectives
import Training

package struct MultiPatchSettings: ProjectedSettings {
    package var encoder = EncoderSettings(code: 256)
    package var projector = HeadSettings(hidden: [512, 512], width: 128)
    /// Patches of each image, at least 2, and their side in pixels; 0 for the images' own size.
    package var patches = 8
    package var patchSize = 0
    /// λ, weight of the similarity.
    package var similarityWeight = 200.0
    /// ε, the distortion up to which the coding rate codes.
    package var distortion = 0.2
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
        "distortion": "distortion up to which the coding rate codes, above 0",
        "batchNorm": BatchNormScope.help,
    ]

    package func check() throws {
        try checkNetwork()
        try require((2...256).contains(patches), "patches", patches, "2 to 256")
        try require(
            patchSize == 0 || (4...1024).contains(patchSize), "patchSize", patchSize, "0, or 4 to 1024 pixels")
        try require((0...1e6).contains(similarityWeight), "similarityWeight", similarityWeight, "0 to 1000000")
        try require(
            distortion >= 1e-6 && distortion <= 1e3, "distortion", distortion, "1e-6 to 1000")
        try require(
            projector.width <= 1024, "projector.width", projector.width,
            "at most 1024, because the coding rate takes width³ operations for each patch")
    }
}

/// EMP-SSL (Tong et al. 2023): the projections of many patches of an image are near their mean, and those of each patch
/// fill all directions over the batch, by their coding rate.
package final class MultiPatch: ProjectedMethod {
    package typealias Settings = MultiPatchSettings

    package static let name = "multiPatch"

    private let settings: MultiPatchSettings
    private let model: ParameterGroup
    package let network: ProjectedEncoder

    package static var defaults: Configuration<MultiPatch> {
        var result = Configuration<MultiPatch>.ofViews
        result.run.batch = 128
        result.data.augmentation = Augmentation(.patches) ?? result.data.augmentation
        return result
    }

    package static func recipe(_ settings: MultiPatchSettings, _ data: ViewSettings) throws -> ViewRecipe {
        try data.recipe(
            ofViews: settings.patches, side: settings.patchSize, for: settings.encoder, method: name)
    }

    package init(_ settings: MultiPatchSettings, card: ViewCard, _ declare: Declarations) throws {
        self.settings = settings
        try card.check()
        (model, network) = try declare.group("model", .descends(settings.optimiser)) {
            try settings.network($0, card: card, last: .linear(bias: false))
        }
        try card.check(viewSizes: ["patchSize": settings.patchSize], for: network.encoder)
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
                "coding_rate", 1, try tape.negativeCodingRate(z, distortion: settings.distortion),
                uninformed: -(1 + width / settings.distortion).logarithm / 2),
            try .deviation(of: z, on: tape),
        ]
    }

    package func summary(batch: Int) -> (networks: String, objective: String) {
        (
            "\(network.encoder), projector \(settings.projector)",
            "\(settings.patches) patches of an image near their mean, and the coding rate of \(batch) images"
        )
    }
}
