import Collectives
import Foundation
import Layers
import Networks
import Objectives
import Tensors

@testable import Datasets
@testable import Methods
@testable import Training

private typealias Configuration = Training.Configuration<DeepInfoMax>

extension Parser {
    /// A settings file.
    static func configuration() throws -> Parser {
        let folder = try InputFolder()
        let commented = """
            // Cost and score.
            { data: { split: 'test', augmentation: { flip: true, jitter: { hue: .1, }, }, }, batch: 0x40, seed: 7,
              encoder: { kind: 'convolutional', blocks: [{ channels: 8 }, { channels: 4, pool: 2 }], local: 1 },
              objective: { estimator: 'infoNCE', anchor: "both", prior: { weight: 1e-1, distribution: 'normal' } } }
            """
        let seeds = ["defaults": try encoded(Configuration()), "commented": Array(commented.utf8)]
        return Parser(seeds: seeds) {
            let path = try folder.write("config.json", $0)
            try check(try Configuration(layers: [JSONValue.settings(file: path)]))
        }
    }

    /// The settings of a run are those that its directory keeps, and the first steps with them end.
    private static func check(_ configuration: Configuration) throws {
        func again(_ configuration: Configuration) throws -> Configuration {
            try Configuration(layers: [configuration.tree()])
        }
        try require(try again(configuration) == configuration, "\(configuration) is read as another")
        _ = try RunSettings.threads(asked: configuration.threads, environment: [:])
        _ = configuration.optimiser.rate(at: 1, of: configuration.steps)
        for (height, width, channels) in [(1, 1, 3), (28, 28, 1), (7, 4096, 3)] {
            let card = ViewCard(
                height: height, width: width, channels: channels,
                normalisation: Normalisation(mean: [0, 0, 0], deviation: [1, 1, 1]))
            guard
                try refusal({
                    let encoder = configuration.encoder
                    _ = try ImageEncoder(
                        Declarations(), encoder, image: card.image, codeBias: true, batchNorm: .sync)
                }) == nil
            else { continue }
            var resolved = configuration
            resolved.method = try DeepInfoMax.resolved(configuration.method, for: card)
            try require(try again(resolved) == resolved, "\(resolved) is read as another")
        }
        let shape = ImageShape(height: 9, width: 8, channels: 3)
        if try refusal({ try configuration.data.augmentation.check(shape: shape) }) == nil {
            _ = configuration.data.augmentation.view(
                seed: configuration.seed, epoch: 1 << 40, image: 1 << 30, in: ViewFrame(shape))
        }
    }

    /// Words after a command, a line each.
    static func arguments() throws -> Parser {
        let options = [
            Option("data", "PATH", "a path", setting: "data.path"), Option("set", "KEY=VALUE", "", repeats: true),
            Option("steps", "N", "a number"), Option("rate", "R", "a number"), Option("compat", "E", "a choice"),
            Option("estimators", "LIST", "choices"), Option("resume", "a switch"),
        ]
        let seed = """
            --data=images
            --resume
            --set
            critic.units=64
            --set=objective.estimator=nwj
            --set=encoder.blocks=[{channels: 8}]
            --steps
            10
            --rate=1e-3
            --estimators
            infoNCE,nwj
            """
        return Parser(seeds: ["typed": Array(seed.utf8)]) {
            let words = String(decoding: $0, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
            let arguments = try Arguments(words.map(String.init), options: options)
            let settings = try Configuration(layers: JSONValue.settings(typed: arguments.all("set")))
            try check(settings)
            try require((1...1000).contains(try arguments.number("steps", in: 1...1000, default: 1)), "steps")
            try require((1e-9...1).contains(try arguments.real("rate", in: 1e-9...1, default: 1)), "rate")
            let estimators = try arguments.choices("estimators", default: [Estimator.infoNCE])
            try require(!estimators.isEmpty && Set(estimators).count == estimators.count, "\(estimators)")
            _ = try arguments.choice("compat", default: Compatibility.exact)
        }
    }

    /// The metrics.jsonl of a run that goes on from step 3.
    static func journal() throws -> Parser {
        struct Line: Codable { let step: Int }
        let folder = try InputFolder()
        let seed = """
            {"epoch":0,"images_per_second":1e3,"loss":2.5,"rate":0.1,"seconds":0.5,"step":3,"terms":{"local":2.5}}
            {"deviation":0.1,"eval":"svm","seeds":3,"value":0.5}
            {"epoch":0,"loss":null,"step":4}
            {"st
            """
        return Parser(seeds: ["run": Array(seed.utf8)]) {
            try folder.write("metrics.jsonl", $0)
            func content() throws -> Data {
                try Data(contentsOf: URL(fileURLWithPath: folder.path + "/metrics.jsonl"))
            }
            try Journal(run: folder.path, from: nil).note(Line(step: 3))
            _ = try Journal(run: folder.path, from: 3)
            let kept = try content()
            try require(kept.suffix(11) == Data("{\"step\":3}\n".utf8), "the last line isn't whole")
            try Journal(run: folder.path, from: 3).note(Line(step: 4))
            let next = try content()
            try require(next == kept + Data("{\"step\":4}\n".utf8), "lines of steps up to 3 don't stay")
        }
    }

    /// Arrays of three shapes.
    static func safetensors() throws -> Parser {
        let shapes = [("encoder.conv1.weight", [2, 1, 2, 2]), ("bias", [3]), ("empty", [0, 4])]
        let values = UnsafeMutableBufferPointer<Float>.allocate(capacity: 11)  // as long as the process
        values.initialize(repeating: 1)
        var first = 0
        let arrays = shapes.map { name, shape in
            let size = shape.reduce(1, *)
            defer { first += size }
            return NamedArray(
                name: name, shape: shape, values: UnsafeMutableBufferPointer(rebasing: values[first..<first + size]))
        }
        let own = try SafeTensors.header(arrays) + Data(buffer: values)
        let header =
            #"{"__metadata__":{"format":"pt"},"bias":{"dtype":"F32","shape":[3],"data_offsets":[0,12]},"#
            + #""empty":{"dtype":"F32","shape":[0,4],"data_offsets":[12,12]},"#
            + #""encoder.conv1.weight":{"dtype":"F32","shape":[2,1,2,2],"data_offsets":[12,44]}}"#
        let length = (0..<8).map { UInt8(truncatingIfNeeded: header.utf8.count >> (8 * $0)) }
        let other = length + Array(header.utf8) + [UInt8](repeating: 1, count: 44)
        return Parser(seeds: ["own": [UInt8](own), "other": other]) {
            try SafeTensors.read(Data($0), file: "x.safetensors", into: arrays)
        }
    }

    /// The manifest of a checkpoint.
    static func checkpoint() throws -> Parser {
        let folder = try InputFolder()
        let images = try folder.write("images-idx3-ubyte", Seeds.idxImages)
        let settings = [
            "data.path": JSONValue.string(images), "batch": .integer(2), "steps": .integer(0),
            "encoder.kind": .string("convolutional"), "encoder.fullyConnected": .array([.integer(1)]),
            "encoder.blocks": .array([.object(["channels": .integer(1), "kernel": .integer(3)])]),
            "encoder.code": .integer(1), "critic.units": .integer(1),
        ]
        let run = folder.path + "/run"
        let training = try TrainingRun<DeepInfoMax>(
            Configuration(layers: settings.map { .leaf($0.key, $0.value) }), output: run, resume: false,
            device: Device(), ranks: SingleRank())
        _ = try training.train(stop: StopRequest(signals: []), isTerminal: false)
        let manifest = "run/checkpoints/step-00000000/manifest.json"
        let written = try Data(contentsOf: URL(fileURLWithPath: folder.path + "/" + manifest))
        let configuration = try Configuration(layers: [JSONValue.settings(file: run + "/config.json")])
        let seeds = ["written": [UInt8](written), "first-format": try unsealed(written)]
        return Parser(seeds: seeds) {
            try folder.write(manifest, $0)
            var warnings: [String] = []
            guard let checkpoint = try CheckpointStore(run: run).newest(warn: { warnings.append($0) }) else {
                throw Unexpected(description: "no checkpoint")
            }
            try require(warnings.isEmpty, "\(warnings)")
            try checkpoint.restore(try Model(configuration, card: checkpoint.card(), device: Device()).store)
        }
    }

    /// A manifest of format 1, which has no checksum that changes would have to meet.
    private static func unsealed(_ manifest: Data) throws -> [UInt8] {
        guard case .object(var members) = try JSONValue.parse(manifest) else { return [] }
        members["crc32"] = nil
        members["format"] = .integer(1)
        return [UInt8](try JSONEncoder().encode(JSONValue.object(members)))
    }

    private static func encoded(_ configuration: Configuration) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return [UInt8](try encoder.encode(configuration.tree()))
    }
}
