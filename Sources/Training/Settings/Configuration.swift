import Autodiff
import Collectives
import Datasets
import Foundation
import Layers
import Networks
import Objectives

/// Everything that decides a run. Files are JSON5 with any of these keys; unknown keys are refused.
package struct Configuration: Codable, Equatable, Sendable {
    package struct DataSettings: Codable, Equatable, Sendable {
        /// Folder or file of images.
        package var path = ""
        package var split: Split = .train
        /// Side in pixels of the squares that images are resized and cropped to; 0 leaves them as they are.
        package var imageSize = 0
        /// 1 or 3, for image files; 0 makes those 3 and takes the others as they are.
        package var channels = 0
        /// Leave out image files that can't be read or decoded.
        package var skipBroken = false
        /// V, a power of two; 0 takes the largest that the data allow, up to 64.
        package var virtualShards = 0
        package var augmentation = Augmentation()

        /// What `ImageSource` is asked for. One rank tells how far it is.
        package func request(for ranks: any Ranks) -> ImageRequest {
            var request = ImageRequest(
                path: path, split: split, imageSize: imageSize, channels: channels, skipBroken: skipBroken)
            if ranks.isFirst {
                let progress = LoadingProgress()
                request.progress = { progress.show($0, of: $1) }
            }
            return request
        }
    }

    package struct CheckpointSettings: Codable, Equatable, Sendable {
        /// Steps between checkpoints; 0 writes only the last.
        package var every = 1000
        /// How many of the newest are kept, at least 1. The one of the least mean loss stays beside them.
        package var keep = 2
    }

    package var data = DataSettings()
    package var encoder = EncoderSettings()
    package var objective = ObjectiveSettings()
    package var critic = CriticSettings()
    package var batchNorm: BatchNormScope = .sync
    package var optimiser = AdamSettings()
    /// Images of the global batch, split over ranks.
    package var batch = 128
    /// Images that pass the encoder at a time on a rank, in two-phase accumulation; 0 for all at once.
    package var microBatch = 0
    /// Optimiser steps of the whole run.
    package var steps = 10_000
    package var seed: UInt64 = 0
    /// Threads of each rank's kernels; 0 takes OMP_NUM_THREADS, or 1 where that isn't set.
    package var threads = 0
    /// Seconds that a collective call may take before the job is ended, with who waits for whom; 0 for any time.
    package var stallTimeout = 300
    package var checkpoint = CheckpointSettings()

    package init() {}

    /// Settings that may change when a run is resumed; all others decide what its past steps computed. So does the
    /// rate, but a run that has gone astray has to be able to go on with a lower one.
    private static let changeable = [
        "steps", "threads", "stallTimeout", "microBatch", "data.path", "data.skipBroken", "checkpoint.every",
        "checkpoint.keep",
        "optimiser.rate",
        "objective.prior.optimiser.rate",
    ]

    /// What can't be told from a setting's type.
    private static let expectations = [
        "data.split": oneOf(Split.self), "encoder.kind": oneOf(EncoderKind.self),
        "encoder.blocks": "a list of blocks, such as [{channels: 64, kernel: 4, stride: 2, padding: 1}]",
        "encoder.fullyConnected": "a list of whole numbers",
        "objective.estimator": oneOf(Estimator.self), "objective.anchor": oneOf(Anchor.self),
        "objective.compatibility": oneOf(Compatibility.self), "critic.kind": oneOf(CriticSettings.Kind.self),
        "critic.normalisation": oneOf(CriticSettings.Normalisation.self),
        "objective.prior.distribution": oneOf(PriorSettings.Distribution.self),
        "objective.prior.optimiser.schedule": oneOf(Schedule.self),
        "batchNorm": oneOf(BatchNormScope.self), "optimiser.schedule": oneOf(Schedule.self),
        "seed": "a whole number from 0 to \(Int.max)",
    ]

    private static func oneOf<Choice: RawRepresentable & CaseIterable>(_ type: Choice.Type) -> String
    where Choice.RawValue == String {
        "one of " + type.allCases.map(\.rawValue).joined(separator: ", ")
    }

    /// Lays trees of settings over the defaults, later ones over earlier ones, and checks the result.
    package init(layers: [JSONValue]) throws {
        let defaults = try Configuration().tree()
        let tree = try Self.withWholeBlocks(layers.reduce(defaults) { try $0.overlaid(with: $1) })
        self = try Self.decoded(tree, over: defaults)
        try check()
    }

    /// Threads of each rank's kernels, at least 1.
    package func threadsPerRank(environment: [String: String]) -> Int {
        let asked = threads > 0 ? threads : environment["OMP_NUM_THREADS"].flatMap(Int.init) ?? 1
        return min(max(asked, 1), 1024)
    }

    /// Each of the encoder's blocks laid over a block's defaults: lists are leaves where trees are laid over trees.
    private static func withWholeBlocks(_ tree: JSONValue) throws -> JSONValue {
        guard case .array(let blocks) = tree.value(at: "encoder.blocks") else { return tree }
        let defaults = try JSONValue.parse(JSONEncoder().encode(EncoderBlock()))
        let whole = try blocks.enumerated().map { place, block in
            let path = "encoder.blocks[\(place)]"
            let whole = try defaults.overlaid(with: block, path: [path])
            let _: EncoderBlock = try decoded(whole, over: defaults, path: path + ".")
            return whole
        }
        return try tree.overlaid(with: .leaf("encoder.blocks", .array(whole)))
    }

    /// Settings from a tree of them all.
    /// - Parameter path: of the tree, for errors.
    /// - Throws: `InputError` that names the setting of another type.
    private static func decoded<Settings: Decodable>(
        _ tree: JSONValue, over defaults: JSONValue, path: String = ""
    ) throws -> Settings {
        func decode(_ tree: JSONValue) throws -> Settings {
            try JSONDecoder().decode(Settings.self, from: JSONEncoder().encode(tree))
        }
        do { return try decode(tree) } catch let error as DecodingError {
            // Foundation doesn't always say where, so each setting is tried by itself.
            let wrong = tree.differences(from: defaults).first { name in
                let value = tree.value(at: name)
                return (try? decode(defaults.overlaid(with: .leaf(name, value)))) == nil
            }
            let name = path + (wrong ?? "")
            let value = String(decoding: try JSONEncoder().encode(tree.value(at: wrong ?? "")), as: UTF8.self)
            throw InputError("\(name) is \(value): it must be \(expectations[name] ?? error.expectation)")
        }
    }

    package func tree() throws -> JSONValue { try JSONValue.parse(JSONEncoder().encode(self)) }

    /// These settings for going on with an earlier run: what is automatic stays what it was found to be.
    /// - Throws: `InputError` on a change that the steps already made don't allow.
    package func resuming(_ earlier: Configuration) throws -> Configuration {
        var result = self
        result.encoder = encoder.adopting(earlier.encoder)
        if data.virtualShards == 0 { result.data.virtualShards = earlier.data.virtualShards }
        for path in try result.tree().differences(from: earlier.tree()) where !Self.changeable.contains(path) {
            throw InputError(
                "\(path) differs from the run that is resumed: its value decided the steps already made; "
                    + "leave it out, or start a new run with another --output")
        }
        return result
    }

    /// These settings as later commands need them, wherever they are typed: the path whole, and what was automatic as
    /// it was found to be. Throws `InputError` where the encoder isn't for these images.
    func resolved(for card: ModelCard, virtualShards: Int) throws -> Configuration {
        var result = self
        result.encoder = try encoder.resolved(for: card.image)
        result.data.virtualShards = virtualShards
        result.data.path = URL(fileURLWithPath: data.path).path
        return result
    }

    private func check() throws {
        func require(_ condition: Bool, _ name: String, _ value: Any, _ limit: String) throws {
            guard condition else { throw InputError("\(name) is \(value): it must be \(limit)") }
        }
        try require((2...1 << 24).contains(batch), "batch", batch, "2 to \(1 << 24) images")
        try require((0...1 << 24).contains(microBatch), "microBatch", microBatch, "0 to \(1 << 24) images")
        try require((0...1 << 40).contains(steps), "steps", steps, "0 to \(1 << 40)")
        try require((0...1024).contains(threads), "threads", threads, "0 to 1024")
        try require((0...1 << 30).contains(stallTimeout), "stallTimeout", stallTimeout, "0 to \(1 << 30) seconds")
        try require((1...65536).contains(critic.units), "critic.units", critic.units, "1 to 65536")
        try encoder.check()
        try require(
            (0...ImageShape.longestSide).contains(data.imageSize), "data.imageSize", data.imageSize,
            "0 to \(ImageShape.longestSide) pixels")
        try require([0, 1, 3].contains(data.channels), "data.channels", data.channels, "0, 1 or 3")
        try require(
            data.virtualShards == 0
                || (1...VirtualShards.largest).contains(data.virtualShards) && data.virtualShards.nonzeroBitCount == 1,
            "data.virtualShards", data.virtualShards, "0 or a power of two up to \(VirtualShards.largest)")
        try data.augmentation.check()
        try require(checkpoint.every >= 0, "checkpoint.every", checkpoint.every, "0 or more steps")
        try require((1...1000).contains(checkpoint.keep), "checkpoint.keep", checkpoint.keep, "1 to 1000")
        let weights = [
            ("globalWeight", objective.globalWeight), ("localWeight", objective.localWeight),
            ("prior.weight", objective.prior.weight), ("prior.penalty", objective.prior.penalty),
            ("coordinatesWeight", objective.coordinatesWeight),
        ]
        for (name, weight) in weights {
            try require(weight >= 0 && Float(weight).isFinite, "objective.\(name)", weight, "0 or more, as float32")
        }
        guard objective.globalWeight + objective.localWeight + objective.coordinatesWeight > 0 else {
            throw InputError(
                "nothing to learn from: set objective.localWeight, objective.globalWeight or "
                    + "objective.coordinatesWeight above 0")
        }
        try require((0...4096).contains(objective.occlusion), "objective.occlusion", objective.occlusion, "0 to 4096")
        guard objective.estimator == .infoNCE || objective.anchor == .global else {
            throw InputError(
                "objective.anchor is \(objective.anchor.rawValue): only infoNCE has an anchor, and objective.estimator is "
                    + "\(objective.estimator.rawValue); leave it out")
        }
        guard objective.compatibility == .exact || objective.estimator == .infoNCE && objective.anchor != .local else {
            throw InputError(
                "objective.compatibility is published: that is another loss for infoNCE anchored at globals only, not "
                    + "for \(objective.estimator.rawValue) anchored at \(objective.anchor.rawValue)")
        }
        for (name, adam) in [("optimiser", optimiser), ("objective.prior.optimiser", objective.prior.optimiser)] {
            try require(
                Float(adam.rate) > 0 && Float(adam.rate).isFinite, "\(name).rate", adam.rate, "above 0, as float32")
            try require((0..<1).contains(adam.beta1), "\(name).beta1", adam.beta1, "in 0..<1")
            try require((0..<1).contains(adam.beta2), "\(name).beta2", adam.beta2, "in 0..<1")
            try require(
                Float(adam.epsilon) > 0 && Float(adam.epsilon).isFinite, "\(name).epsilon", adam.epsilon,
                "above 0, as float32")
            try require(adam.warmupSteps >= 0, "\(name).warmupSteps", adam.warmupSteps, "0 or more steps")
        }
    }
}

extension DecodingError {
    /// What should stand where something else does.
    fileprivate var expectation: String {
        switch self {
        case .typeMismatch(let type, _), .valueNotFound(let type, _): Self.words(type)
        case .dataCorrupted: "a whole number that fits 64 bits"  // for the tree is sound, and choices are known
        default: "of another form"
        }
    }

    private static func words(_ type: Any.Type) -> String {
        switch type {
        case is Int.Type, is UInt64.Type: "a whole number"
        case is Double.Type: "a number"
        case is Bool.Type: "true or false"
        case is String.Type: "a string"
        default: "\(type)"
        }
    }
}
