import Autodiff
import Collectives
import Datasets
import Foundation
import Layers
import Networks
import Objectives
import Tensors

/// What is trained: an encoder and the objective's critics, with all their parameters.
package final class Model {
    package let device: Device
    package let encoder: ConvolutionalEncoder
    /// Of encoder and critics.
    package let parameters: ParameterSet
    /// Of the prior's discriminator, which is trained against the encoder; none without a prior.
    package let adversary: ParameterSet?
    private let objective: DeepInfoMax
    private let occlusion: Int
    private let batchNorm: BatchNormScope
    /// Images that pass the encoder at a time; 0 for all.
    private let microBatch: Int
    private let seed: UInt64

    /// - Parameter card: the images that the encoder is made for.
    /// - Throws: `InputError` when the configured encoder doesn't fit the images.
    package init(_ configuration: Configuration, card: ModelCard, device: Device) throws {
        self.device = device
        try card.check()
        let architecture = try configuration.encoder.architecture(for: card.image)
        let declare = Declarations()
        encoder = try declare.scope("encoder") {
            try ConvolutionalEncoder(
                $0, architecture, image: card.image, codeSize: configuration.encoder.code,
                codeBias: configuration.objective.seesShiftOfCodes(configuration.critic),
                batchNorm: configuration.batchNorm)
        }
        let adversaries = Declarations()
        objective = DeepInfoMax(
            declare, adversary: adversaries,
            map: (encoder.localMap.height, encoder.localMap.width, encoder.localChannels),
            code: configuration.encoder.code, critic: configuration.critic, objective: configuration.objective,
            batchNorm: configuration.batchNorm, seed: configuration.seed)
        occlusion = configuration.objective.occlusion
        seed = configuration.seed
        batchNorm = configuration.batchNorm
        microBatch = configuration.microBatch
        guard occlusion < min(card.height, card.width) else {
            throw InputError(
                "objective.occlusion is \(occlusion) pixels on images of \(card.height)x\(card.width): it must be less "
                    + "than the shorter side")
        }
        guard configuration.objective.coordinatesWeight == 0 || encoder.locations > 1 else {
            throw InputError(
                "objective.coordinatesWeight is \(configuration.objective.coordinatesWeight): the encoder's local map has "
                    + "one location, and there is nothing to tell; set it to 0")
        }
        try Self.checkMemory(declare.parameterCount + adversaries.parameterCount)
        parameters = ParameterSet(declare, device: device, seed: configuration.seed)
        adversary =
            configuration.objective.prior.weight > 0
            ? ParameterSet(adversaries, device: device, seed: configuration.seed, firstPlace: 1 << 20) : nil
    }

    /// Refuses more parameters than this machine holds, with a gradient and two moments of each.
    static func checkMemory(_ parameters: Int, memory: UInt64 = ProcessInfo.processInfo.physicalMemory) throws {
        let needed = Double(parameters) * 16
        guard needed > Double(memory) else { return }
        throw InputError(
            "the model would have \(parameters) parameters, \(Int(needed / 0x1p30)) GiB with gradients and moments, and "
                + "this machine has \(memory >> 30) GiB: lower critic.units or the encoder's widths")
    }

    /// Encoder and critics, and the discriminator where there is one.
    package var parameterSets: [ParameterSet] { [parameters] + (adversary.map { [$0] } ?? []) }

    /// A new optimiser for each of the parameter sets.
    package func optimisers(_ configuration: Configuration) -> [Adam] {
        zip(parameterSets, [configuration.optimiser, configuration.objective.prior.optimiser]).map {
            Adam($1, parameters: $0, device: device)
        }
    }

    /// The terms of the loss over the global batch. Collective, and so is `backward` from them.
    /// - Parameters:
    ///   - images: [n, H, W, channels], this rank's, normalised.
    ///   - step: decides random numbers.
    package func terms(_ tape: Tape, images: Tensor, step: Int) throws -> [ObjectiveTerm] {
        let encoding = try encoder(tape, tape.constant(images))
        guard occlusion > 0 else { return try objective(tape, map: encoding.local, code: encoding.code, step: step) }
        tape.movesStatistics = false  // they are to be those of whole images
        let hidden = try encoder(tape, tape.constant(occluded(images, shares: tape.shares, step: step)))
        tape.movesStatistics = true
        return try objective(tape, map: encoding.local, code: hidden.code, step: step)
    }

    /// Leaves this rank's part of the gradient of the global loss in all parameters. Collective.
    /// - Parameter finished: called with some of the gradients as soon as they are finished.
    package func gradients(
        images: Tensor, shares: Shares, ranks: any Ranks, step: Int, finished: ((Tensor) throws -> Void)? = nil
    ) throws -> LossTerms {
        let tape = Tape(device: device, ranks: ranks, shares: shares)
        guard microBatch == 0 || shares.counts.allSatisfy({ $0 <= microBatch }) else {
            return try gradientsInPieces(tape, images: images, step: step)
        }
        let terms = try terms(tape, images: images, step: step)
        tape.finishedGradient = finished
        try tape.backward(from: tape.weightedSum(terms.map { ($0.value, Float($0.weight)) }))
        return LossTerms(terms)
    }

    /// The same in two phases: the encoder's outputs, in pieces, then the loss of the whole batch and its gradients by
    /// them, then those through the encoder, in pieces again.
    private func gradientsInPieces(_ tape: Tape, images: Tensor, step: Int) throws -> LossTerms {
        for set in parameterSets { set.gradients.fill(0) }
        tape.accumulates = true
        func encoding(_ images: Tensor, movesStatistics: Bool) throws -> PiecewiseEncoding {
            try PiecewiseEncoding(
                encoder, images: images, size: microBatch, scope: batchNorm, movesStatistics: movesStatistics,
                device: device, ranks: tape.ranks, shares: tape.shares)
        }
        let whole = try encoding(images, movesStatistics: true)
        let hidden =
            occlusion > 0
            ? try encoding(occluded(images, shares: tape.shares, step: step), movesStatistics: false) : nil
        let (map, code) = (tape.leaf(whole.map), tape.leaf((hidden ?? whole).code))
        let terms = try objective(tape, map: map, code: code, step: step)
        try tape.backward(from: tape.weightedSum(terms.map { ($0.value, Float($0.weight)) }))
        let (mapGradient, codeGradient) = (tape.takeGradient(of: map), tape.takeGradient(of: code))
        try whole.backward(map: mapGradient, code: hidden == nil ? codeGradient : nil)
        try hidden?.backward(map: nil, code: codeGradient)
        return LossTerms(terms)
    }

    /// A copy of the images with a square of mean pixels at a random place of each.
    private func occluded(_ images: Tensor, shares: Shares, step: Int) -> Tensor {
        let result = device.tensor(images.shape)
        result.copy(from: images)
        let (height, width, channels) = (images.shape[1], images.shape[2], images.shape[3])
        for i in 0..<shares.own {
            var stream = RandomStream(seed: seed, purpose: .occlusion, step: step, sample: shares.first + i)
            let (top, left) = (stream.index(below: height - occlusion + 1), stream.index(below: width - occlusion + 1))
            for row in top..<top + occlusion {
                let start = ((i * height + row) * width + left) * channels
                (result.base + start).update(repeating: 0, count: occlusion * channels)
            }
        }
        return result
    }

    /// What a checkpoint keeps of the model, by module path.
    var arrays: [NamedArray] {
        parameterSets.flatMap { set in
            set.parameters.map { NamedArray(name: $0.name, shape: $0.shape, values: $0.value.elements) }
        }
    }
}

/// The loss of a step and what it is the sum of: a part of the global means, or these themselves.
package struct LossTerms: Equatable, Sendable {
    package let names: [ObjectiveTerm.Name]
    private let weights: [Double]
    package var values: [Double]

    init(_ terms: [ObjectiveTerm]) {
        names = terms.map(\.name)
        weights = terms.map(\.weight)
        values = terms.map { Double($0.value.value.base[0]) }
    }

    /// What the encoder minimises: each of its terms times its weight.
    package var loss: Double {
        names.indices.reduce(0) { names[$1].isOfEncoder ? $0 + weights[$1] * values[$1] : $0 }
    }

    package func value(of name: ObjectiveTerm.Name) -> Double? {
        names.firstIndex(of: name).map { values[$0] }
    }
}

/// What one must know of the training images to use the encoder.
package struct ModelCard: Codable, Equatable, Sendable {
    package let height: Int
    package let width: Int
    package let channels: Int
    package let normalisation: Normalisation

    package init(height: Int, width: Int, channels: Int, normalisation: Normalisation) {
        self.height = height
        self.width = width
        self.channels = channels
        self.normalisation = normalisation
    }

    /// Throws where no images are like that. A card may come from a file.
    func check() throws {
        let sides = 1...ImageShape.longestSide
        guard sides.contains(height), sides.contains(width), (1...1 << 16).contains(channels) else {
            throw InputError(
                "a model for images of \(height)x\(width)x\(channels), expected sides of 1 to \(sides.upperBound) and "
                    + "1 to \(1 << 16) channels: the checkpoint is damaged")
        }
    }

    /// Shape of the images.
    package var image: MapShape { MapShape(height: height, width: width, channels: channels) }
}
