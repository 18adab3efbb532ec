import Autodiff
import Collectives
import Datasets
import Layers
import Networks
import Objectives
import Training

package struct SupervisedSettings: ViewEncoderSettings {
    package var encoder = EncoderSettings(code: 256)
    /// Views of each image in a batch.
    package var viewsPerImage = 1
    package var batchNorm: BatchNormScope = .sync
    package var optimiser = OptimiserSettings.ofViews

    package init() {}

    package static let parts: [String: any SettingsTree.Type] = [
        "encoder": EncoderSettings.self, "optimiser": OptimiserSettings.self,
    ]
    package static let help = [
        "viewsPerImage": "augmented views of each image in a batch, 1 to 64", "batchNorm": BatchNormScope.help,
    ]

    package func check() throws {
        try encoder.check()
        try require((1...64).contains(viewsPerImage), "viewsPerImage", viewsPerImage, "1 to 64")
        try optimiser.check("optimiser")
    }
}

/// Cross-entropy on the images that have a label: the control for methods that learn without labels. An image without a
/// label only counts in batch norms.
package final class Supervised: Method {
    package typealias Settings = SupervisedSettings
    package typealias Source = ViewSource
    /// `logits` is the output for each label.
    package enum Layer: String, CaseIterable, Sendable { case code, fc, conv, local, stages, logits }

    package static let name = "supervised"

    private let settings: SupervisedSettings
    private let labels: Int
    private let model: ParameterGroup
    private let encoder: ImageEncoder
    private let classifier: Linear

    package static var defaults: Configuration<Supervised> { .ofViews }

    package static func recipe(_ settings: SupervisedSettings, _ data: ViewSettings) -> ViewRecipe {
        ViewRecipe([ViewGroup(settings.viewsPerImage, of: data.augmentation)], needsLabels: true)
            .serving(settings.encoder)
    }

    package init(_ settings: SupervisedSettings, card: ViewCard, _ declare: Declarations) throws {
        self.settings = settings
        try card.check()
        guard let labels = card.labels else {
            throw InputError(
                "the checkpoint is damaged: its model is of method supervised, but has no number of labels")
        }
        self.labels = labels
        (model, (encoder, classifier)) = try declare.group("model", .descends(settings.optimiser)) { declare in
            let encoder = try ImageEncoder(
                declare.within("encoder"), settings.encoder, image: card.image, codeBias: true,
                batchNorm: settings.batchNorm)
            return (encoder, Linear(declare, "classifier", inputs: encoder.codeSize, outputs: labels))
        }
    }

    package func turns(at step: Int) -> [Turn] { [Turn(model)] }

    package func terms(_ pass: Pass, _ batch: ViewBatch) throws -> [Term] {
        let (encoder, classifier) = (encoder, classifier)
        let logits = try pass.apply(batch.images) { tape, x in
            [try classifier(tape, encoder(tape, x).code)]
        }[0]
        let loss = try pass.tape.labelledCrossEntropy(logits, labels: batch.labels)
        return [Term("cross_entropy", 1, loss, uninformed: Double(labels).logarithm)]
    }

    package func features(_ tape: Tape, _ batch: ViewBatch, _ layers: [Layer]) throws -> [Variable] {
        let encoding = try encoder(tape, tape.constant(batch.images))
        return try layers.map { layer in
            try EncoderLayer(rawValue: layer.rawValue).map { encoding.output($0, on: tape) }
                ?? classifier(tape, encoding.code)
        }
    }

    package func summary(batch: Int) -> (networks: String, objective: String) {
        (encoder.description, "cross-entropy over labels 0 to \(labels - 1)")
    }
}
