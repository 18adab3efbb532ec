import Autodiff
import Collectives
import Datasets
import Layers
import Networks
import Objectives
import Tensors
import Training

package struct DeepInfoMaxSettings: ViewEncoderSettings {
    package var encoder = EncoderSettings()
    package var objective = ObjectiveSettings()
    package var critic = CriticSettings()
    package var batchNorm: BatchNormScope = .sync
    package var optimiser = OptimiserSettings()

    package init() {}

    package static let parts: [String: any SettingsTree.Type] = [
        "encoder": EncoderSettings.self, "objective": ObjectiveSettings.self, "critic": CriticSettings.self,
        "optimiser": OptimiserSettings.self,
    ]
    package static let help = ["batchNorm": BatchNormScope.help]

    package func check() throws {
        try critic.check()
        try encoder.check()
        try objective.check()
        try optimiser.check("optimiser")
    }
}

/// Deep InfoMax (Hjelm et al. 2019): an encoder whose code has much information about the whole image, DIM(G), about
/// its locations, DIM(L), or about both. A discriminator may match codes to a prior.
package final class DeepInfoMax: Method {
    package typealias Settings = DeepInfoMaxSettings
    package typealias Source = ViewSource
    package typealias Layer = EncoderLayer

    package static let name = "deepInfoMax"

    private let settings: DeepInfoMaxSettings
    private let encoder: ImageEncoder
    private let objective: DeepInfoMaxObjective
    private let prior: PriorMatching?
    private let players: [ParameterGroup]

    package static func recipe(_ settings: DeepInfoMaxSettings, _ data: ViewSettings) -> ViewRecipe {
        ViewRecipe([data.augmentation]).serving(settings.encoder)
    }

    package init(_ settings: DeepInfoMaxSettings, card: ViewCard, _ declare: Declarations) throws {
        self.settings = settings
        try card.check()
        let objective = settings.objective
        let (model, (encoder, contrast)) = try declare.group("model", .descends(settings.optimiser)) { declare in
            let encoder = try ImageEncoder(
                declare.within("encoder"), settings.encoder, image: card.image,
                codeBias: objective.seesShiftOfCodes(settings.critic), batchNorm: settings.batchNorm)
            let map = encoder.localMap
            return (
                encoder,
                DeepInfoMaxObjective(
                    declare, map: (map.height, map.width, map.channels), code: encoder.codeSize,
                    critic: settings.critic, objective: objective, batchNorm: settings.batchNorm)
            )
        }
        self.encoder = encoder
        self.objective = contrast
        if objective.prior.weight > 0 {
            let adversary: ParameterGroup
            (adversary, prior) = declare.group(
                "adversary", .descends(objective.prior.optimiser), setting: "objective.prior.optimiser"
            ) {
                PriorMatching($0, code: encoder.codeSize, settings: objective.prior)
            }
            players = [model, adversary]
        } else {
            prior = nil
            players = [model]
        }
        guard objective.occlusion < min(card.height, card.width) else {
            throw InputError(
                "objective.occlusion is \(objective.occlusion) pixels, but images are \(card.height)x\(card.width): "
                    + "it must be less than the shorter side")
        }
        guard objective.coordinatesWeight == 0 || encoder.locations > 1 else {
            throw InputError(
                "objective.coordinatesWeight is \(objective.coordinatesWeight), but the encoder's local map has only "
                    + "one location: set it to 0")
        }
    }

    /// One pass for both players: the terms of one don't depend on the other's parameters.
    package func turns(at step: Int) -> [Turn] { [Turn(players)] }

    package func terms(_ pass: Pass, _ batch: ViewBatch) throws -> [Term] {
        let encoder = encoder
        func encode(_ images: Tensor) throws -> (map: Variable, code: Variable) {
            let outputs = try pass.apply(images) { tape, x in
                let encoding = try encoder(tape, x)
                return [encoding.local, encoding.code]
            }
            return (outputs[0], outputs[1])
        }
        let whole = try encode(batch.images)
        // Running statistics must be those of whole images.
        let hidden =
            settings.objective.occlusion == 0
            ? whole : try pass.tape.keepingStatistics { try encode(occluded(batch, pass)) }
        return try objective(pass.tape, map: whole.map, code: hidden.code, prior: prior, random: pass.random)
    }

    /// A copy of the images with a square of mean pixels at a random position in each.
    private func occluded(_ batch: ViewBatch, _ pass: Pass) -> Tensor {
        let (images, side) = (batch.images, settings.objective.occlusion)
        let result = pass.tape.device.tensor(images.shape)
        result.copy(from: images)
        let (height, width, channels) = (images.shape[1], images.shape[2], images.shape[3])
        for i in 0..<batch.count {
            var stream = pass.random(.occlusion, batch.shares.first + i)
            let (top, left) = (stream.index(below: height - side + 1), stream.index(below: width - side + 1))
            for row in top..<top + side {
                let start = ((i * height + row) * width + left) * channels
                (result.base + start).update(repeating: 0, count: side * channels)
            }
        }
        return result
    }

    package func features(_ tape: Tape, _ batch: ViewBatch, _ layers: [EncoderLayer]) throws -> [Variable] {
        let encoding = try encoder(tape, tape.constant(batch.images))
        return layers.map { encoding.output($0, on: tape) }
    }

    package func summary(batch: Int) -> (networks: String, objective: String) {
        (encoder.description, settings.objective.summary(critic: settings.critic, negatives: batch - 1))
    }
}

extension ObjectiveSettings {
    /// One line: `1 x local infoNCE anchored at global, separable critic of 512 units, negatives from 127 images`.
    fileprivate func summary(critic: CriticSettings, negatives: Int) -> String {
        let bound = estimator.rawValue + (estimator == .infoNCE ? " anchored at \(anchor.rawValue)" : "")
        let weighted = [
            (globalWeight, "global \(bound)"), (localWeight, "local \(bound)"),
            (prior.weight, "\(prior.distribution.rawValue) prior"), (coordinatesWeight, "coordinates"),
        ]
        var parts = [weighted.filter { $0.0 > 0 }.map { "\($0.0) x \($0.1)" }.joined(separator: " + ")]
        if globalWeight + localWeight > 0 {
            let normalised = critic.normalisation == .none ? "" : " with \(critic.normalisation.rawValue)"
            parts.append("\(critic.kind.rawValue) critic of \(critic.units) units\(normalised)")
            parts.append("negatives from \(negatives) images of all ranks")
        }
        if occlusion > 0 { parts.append("codes from images with \(occlusion)x\(occlusion) pixels hidden") }
        return parts.joined(separator: ", ")
    }
}
