import Autodiff
import Collectives
import Datasets
import Layers
import Networks
import Objectives
import Tensors
import Training

package struct FactorVAESettings: ViewEncoderSettings {
    package var encoder = EncoderSettings(code: 10)
    package var decoder = DecoderSettings()
    package var discriminator = DiscriminatorSettings()
    /// γ, weight of the total correlation, at least 0.
    package var gamma = 10.0
    package var batchNorm: BatchNormScope = .sync
    package var optimiser: OptimiserSettings = {
        var settings = OptimiserSettings()
        settings.rate = 1e-4
        settings.warmupSteps = 0
        return settings
    }()

    package struct DiscriminatorSettings: SettingsTree {
        /// Hidden layers, before the output layer of two logits.
        package var layers = 6
        package var units = 1000
        /// Updates in each step, each with its own batch.
        package var times = 1
        package var optimiser: OptimiserSettings = {
            var settings = OptimiserSettings()
            settings.rate = 1e-4
            settings.beta1 = 0.5
            settings.beta2 = 0.9
            settings.warmupSteps = 0
            return settings
        }()

        package init() {}

        package static let parts: [String: any SettingsTree.Type] = ["optimiser": OptimiserSettings.self]
        package static let help = [
            "layers": "hidden layers of the discriminator", "units": "units of each hidden layer",
            "times": "updates of the discriminator in each step, each with its own batch",
        ]
    }

    package init() {}

    package static let parts: [String: any SettingsTree.Type] = [
        "encoder": EncoderSettings.self, "decoder": DecoderSettings.self, "discriminator": DiscriminatorSettings.self,
        "optimiser": OptimiserSettings.self,
    ]
    package static let help = [
        "batchNorm": BatchNormScope.help, "encoder.code": "number of latents",
        "microBatch": "images that pass the encoder at a time; the decoder takes all images at once",
        "gamma": "weight of the total correlation; 0 gives a plain variational autoencoder",
    ]

    package func check() throws {
        try encoder.check()
        try require((1...32768).contains(encoder.code), "encoder.code", encoder.code, "1 to 32768 latents")
        try decoder.check()
        try require((1...64).contains(discriminator.layers), "discriminator.layers", discriminator.layers, "1 to 64")
        try require(
            (1...65536).contains(discriminator.units), "discriminator.units", discriminator.units, "1 to 65536")
        try require((1...1000).contains(discriminator.times), "discriminator.times", discriminator.times, "1 to 1000")
        try require(gamma >= 0 && Float(gamma).isFinite, "gamma", gamma, "0 or more, as float32")
        try discriminator.optimiser.check("discriminator.optimiser")
        try optimiser.check("optimiser")
    }
}

/// FactorVAE (Kim & Mnih 2018): a variational autoencoder whose latents become independent of each other. A
/// discriminator separates codes from permuted codes, in which each latent comes from another image.
///
/// The order is that of algorithm 2. The autoencoder moves on one batch. Then the discriminator moves on the same codes
/// and on permuted codes of a second batch.
package final class FactorVAE: Method {
    package typealias Settings = FactorVAESettings
    package typealias Source = ViewSource
    /// `mean` is the mean of the latents.
    package enum Layer: String, CaseIterable, Sendable { case mean, fc, conv, local, stages }

    package static let name = "factorVAE"

    private let settings: FactorVAESettings
    private let model, critic: ParameterGroup
    private let encoder: ImageEncoder
    private let decoder: ConvolutionalDecoder
    private let discriminator: MLP
    private let normalisation: Normalisation
    /// Codes of the batch on which the autoencoder moved in this step, [n, Z].
    private var codes: Tensor?

    private var latents: Int { settings.encoder.code }

    package static var defaults: Configuration<FactorVAE> {
        var result = Configuration<FactorVAE>()
        result.batch = 64
        return result
    }

    package static func recipe(_ settings: FactorVAESettings, _ data: ViewSettings) -> ViewRecipe {
        ViewRecipe([data.augmentation], needsUnitRange: true).serving(settings.encoder)
    }

    package init(_ settings: FactorVAESettings, card: ViewCard, _ declare: Declarations) throws {
        self.settings = settings
        try card.check()
        normalisation = card.normalisation
        (model, (encoder, decoder)) = try declare.group("model", .descends(settings.optimiser)) { declare in
            (
                // Its code holds mean and log variance of each latent.
                try ImageEncoder(
                    declare.within("encoder"), settings.encoder, image: card.image, codeSize: 2 * settings.encoder.code,
                    codeBias: true, batchNorm: settings.batchNorm),
                try ConvolutionalDecoder(
                    declare.within("decoder"), inputs: settings.encoder.code, image: card.image.shape,
                    channels: settings.decoder.channels, output: .logits, batchNorm: settings.batchNorm)
            )
        }
        let hidden = Array(repeating: settings.discriminator.units, count: settings.discriminator.layers)
        (critic, discriminator) = declare.group(
            "discriminator", .descends(settings.discriminator.optimiser), setting: "discriminator.optimiser"
        ) {
            MLP($0, "discriminator", inputs: settings.encoder.code, widths: hidden + [2], hidden: .leaky(slope: 0.2))
        }
    }

    package func turns(at step: Int) -> [Turn] {
        [Turn(model), Turn(critic, times: settings.discriminator.times, drawsAnew: true)]
    }

    package func terms(_ pass: Pass, _ batch: ViewBatch) throws -> [Term] {
        pass.moves(model) ? try autoencoderTerms(pass, batch) : try discriminatorTerms(pass, batch)
    }

    /// Mean and log variance of the latents, and a sample, [n, Z] each.
    private func latents(
        _ pass: Pass, _ images: Tensor
    ) throws -> (mean: Variable, logVariance: Variable, sample: Variable) {
        let (encoder, tape) = (encoder, pass.tape)
        let code = try pass.apply(images) { [try encoder($0, $1).code] }[0]  // [n, 2Z]
        let mean = tape.columns(code, 0..<latents)
        let logVariance = tape.columns(code, latents..<2 * latents)
        return (
            mean, logVariance,
            tape.gaussianSample(mean: mean, logVariance: logVariance) { pass.random(.latent, $0) }
        )
    }

    private func autoencoderTerms(_ pass: Pass, _ batch: ViewBatch) throws -> [Term] {
        let tape = pass.tape
        let (mean, logVariance, z) = try latents(pass, batch.images)
        codes = z.value
        let images = normalisation.undone(batch.images, device: tape.device)  // in 0...1
        return [
            Term("reconstruction", 1, tape.bernoulliLoss(try decoder(tape, z), target: images)),
            Term("divergence", 1, tape.gaussianDivergence(mean: mean, logVariance: logVariance)),
            Term("total_correlation", settings.gamma, tape.totalCorrelation(try discriminator(tape, z))),
        ]
    }

    private func discriminatorTerms(_ pass: Pass, _ batch: ViewBatch) throws -> [Term] {
        guard let codes else { preconditionFailure("the discriminator's turn comes after the autoencoder's") }
        let tape = pass.tape
        // Running statistics are those of the autoencoder's batches.
        let other = try tape.keepingStatistics { try latents(pass, batch.images).sample.value }
        let permuted = try permutedColumns(
            other, shares: batch.shares, device: tape.device, ranks: tape.ranks
        ) { pass.random(.shuffle, $0) }
        let logits = (
            joint: try discriminator(tape, tape.constant(codes)),
            permuted: try discriminator(tape, tape.constant(permuted))
        )
        let accuracy = tape.discriminatorAccuracy(joint: logits.joint.value, permuted: logits.permuted.value)
        return [
            Term(
                "discriminator", 1, tape.discriminatorLoss(joint: logits.joint, permuted: logits.permuted),
                isMain: false),
            Term("accuracy", 0, tape.constant(tape.device.tensor([1], [Float(accuracy)])), isMain: false),
        ]
    }

    package func features(_ tape: Tape, _ batch: ViewBatch, _ layers: [Layer]) throws -> [Variable] {
        let encoding = try encoder(tape, tape.constant(batch.images))
        return layers.map { layer in
            EncoderLayer(rawValue: layer.rawValue).map { encoding.output($0, on: tape) }
                ?? tape.columns(encoding.code, 0..<latents)
        }
    }

    package func summary(batch: Int) -> (networks: String, objective: String) {
        (
            "\(encoder), \(latents) latents, a decoder, a discriminator of "
                + "\(settings.discriminator.layers) hidden layers",
            "reconstruction + divergence + \(settings.gamma) x total correlation"
        )
    }
}
