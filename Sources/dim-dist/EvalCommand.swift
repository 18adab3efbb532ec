import Collectives
import Data
import Evaluation
import Foundation
import Tensors
import Training

/// A line of `metrics.jsonl` about frozen features.
private struct EvaluationLine: Encodable {
    let step: Int
    let eval: String
    let value: Double
}

/// The model that a run directory holds, ready to be used. The same on every rank.
struct TrainedRun {
    let model: Model
    let configuration: Configuration
    let card: ModelCard
    let step: Int
    let device: Device

    /// Collective.
    init(_ arguments: Arguments, ranks: any Ranks) throws {
        let (configuration, checkpoint) = try ranks.agree {
            let run = try arguments.required("run")
            guard let saved = try Program.savedConfiguration(run: run) else {
                throw InputError("\(run) is not a run directory: there is no config.json in it")
            }
            var configuration = try Configuration(layers: [saved])
            configuration.threads = try arguments.number("threads", in: 0...1024, default: configuration.threads)
            let store = CheckpointStore(run: run)
            if let text = arguments.text("step") {
                guard let step = Int(text), store.steps.contains(step) else {
                    throw InputError("--step is \(text): \(run) has checkpoints of steps \(store.steps)")
                }
                return (configuration, try store.load(step))
            }
            guard let checkpoint = try store.newest(warn: { if ranks.isFirst { Program.complain($0) } }) else {
                throw InputError("\(run) has no checkpoint yet: train with --steps or wait for the first")
            }
            return (configuration, checkpoint)
        }
        let device = try Device(configuration)
        self.configuration = configuration
        self.device = device
        card = checkpoint.card
        step = checkpoint.step
        model = try ranks.agree {
            let model = try Model(configuration, card: checkpoint.card, device: device)
            try checkpoint.restore(model)
            return model
        }
    }

    /// The same model before its first step.
    func untrained() throws -> Model { try Model(configuration, card: card, device: device) }

    /// This rank's consecutive part of a data set, of images made as those of the training. Collective.
    /// - Parameters:
    ///   - split: nil for the training split, or for all of what has none.
    ///   - skipped: gets a line for each image file that was left out.
    func images(
        _ arguments: Arguments, split: Split?, skipped: inout [String], ranks: any Ranks
    ) throws -> ImageDataset {
        var request = configuration.data.request(for: ranks)
        request.path = arguments.text("data") ?? request.path
        request.split = split ?? .train
        request.skipBroken = request.skipBroken || arguments.has("skip-broken")
        let source = try ImageSource(request, ranks: ranks)
        skipped += source.skipped
        return try ranks.agree {
            guard split == nil || source.hasSplits else {
                throw InputError(
                    isFolder(request.path)
                        ? "\(request.path) is one set of images: move them into folders train and test, or name a "
                            + "folder that has those with --data"
                        : "\(request.path) is one file, without a train and a test split: name their folder with --data"
                )
            }
            let start = source.count * ranks.rank / ranks.worldSize
            let end = source.count * (ranks.rank + 1) / ranks.worldSize
            return try ImageDataset(source, images: start..<end)
        }
    }
}

private let skipBroken = Option("skip-broken", "leave out image files that don't decode, and list them")

extension Program {
    static let eval = Command(
        name: "eval", summary: "Tell what a run's frozen features are worth, beside controls.",
        usage: "--run DIR [--data PATH] [--layer code,fc,conv,local] [--probe linear,knn,mlp]",
        options: [
            Option("run", "DIR", "run directory of train"),
            Option("step", "N", "of which checkpoint; the newest by default"),
            Option("data", "PATH", "labelled images with a train and a test split; those of the run by default"),
            Option("layer", "L,…", "features: code, fc, conv or local; code by default"),
            Option("probe", "P,…", "linear (logistic regression), knn (cosine), mlp; linear,knn by default"),
            skipBroken,
            Option("without-controls", "leave out the untrained encoder, raw pixels and PCA-64"),
            Option("threads", "T", "threads of each rank"),
        ]
    ) { (arguments: Arguments, ranks: any Ranks) throws -> ExitStatus in
        let (layers, probes) = try ranks.agree {
            (
                try arguments.choices("layer", default: [FeatureLayer.code]),
                try arguments.choices("probe", default: [Probe.linear, .knn])
            )
        }
        let run = try TrainedRun(arguments, ranks: ranks)
        var skipped: [String] = []
        let train = try run.images(arguments, split: .train, skipped: &skipped, ranks: ranks)
        let test = try run.images(arguments, split: .test, skipped: &skipped, ranks: ranks)
        try ranks.agree {
            guard ranks.isFirst else { return }
            try SkippedFiles(skipped, kept: train.count + test.count).report(
                listing: arguments.required("run") + "/evaluation-skipped.txt", tell: complain)
        }
        // IDX files don't say how many classes there are, and a split may lack the last.
        let classes = max(train.classes ?? 0, test.classes ?? 0)
        var table = EvaluationTable()

        /// Judges features, given this rank's rows of either set.
        func judge(_ name: String, _ trainValues: Tensor, _ testValues: Tensor) throws -> (Features, Features) {
            let train = try Features(trainValues, of: train, classes: classes, ranks: ranks)
            let test = try Features(testValues, of: test, classes: classes, ranks: ranks)
            for probe in probes { try judge(name, train, test, probe) }
            return (train, test)
        }
        func judge(_ name: String, _ train: Features, _ test: Features, _ probe: Probe) throws {
            let start = ContinuousClock.now
            var told = start
            let accuracy = try score(
                probe, train: train, test: test, seed: run.configuration.seed, ranks: ranks, device: run.device
            ) { line in
                guard ranks.isFirst, told.duration(to: .now) > .seconds(5) else { return }
                told = .now
                complain("\(name), \(line)")
            }
            table.set(accuracy, features: name, probe: probe)
            let seconds = start.duration(to: .now) / .seconds(1)
            if ranks.isFirst {
                complain(String(format: "%@, %@: %.2f %% in %.1f s", name, probe.rawValue, 100 * accuracy, seconds))
            }
        }

        var encoders = [("trained", run.model)]
        if !arguments.has("without-controls") { encoders.append(("untrained", try run.untrained())) }
        for (name, model) in encoders {
            let encoder = FrozenEncoder(model, card: run.card)
            let (trainValues, testValues) = try ranks.agree {
                (try encoder.features(of: train, layers: layers), try encoder.features(of: test, layers: layers))
            }
            for layer in layers {
                if let train = trainValues[layer], let test = testValues[layer] {
                    _ = try judge("\(name) \(layer.rawValue)", train, test)
                }
            }
        }
        if !arguments.has("without-controls") {
            let raw = try judge(
                "raw pixels", run.pixels(of: train), run.pixels(of: test))
            let components = try PrincipalComponents(of: raw.0, count: 64, ranks: ranks, device: run.device)
            let train = try components.transform(raw.0, device: run.device)
            let test = try components.transform(raw.1, device: run.device)
            for probe in probes { try judge("PCA-64", train, test, probe) }
        }
        try ranks.agree {
            guard ranks.isFirst else { return }
            let directory = try arguments.required("run")
            let journal = try Journal(run: directory, from: nil)  // the run may be training on
            for score in table.scores {
                try journal.note(EvaluationLine(step: run.step, eval: score.name, value: score.value))
            }
            let report =
                "\(table)\n\nstep \(run.step) of \(directory), \(train.count) training and \(test.count) test images"
            try (report + "\n").write(toFile: directory + "/evaluation.txt", atomically: true, encoding: .utf8)
            print(report)
        }
        return .success
    }

    static let embed = Command(
        name: "embed", summary: "Write a run's features of images as a NumPy array, rows in data-set order.",
        usage: "--run DIR --data PATH --output FILE.npy [--layer code|fc|conv|local] [--split SPLIT]",
        options: [
            Option("run", "DIR", "run directory of train"),
            Option("step", "N", "of which checkpoint; the newest by default"),
            Option("data", "PATH", "images; those of the run by default"),
            Option("split", "train|test|unlabelled", "which part of the data; train by default"),
            skipBroken,
            Option("layer", "L", "code (by default), fc, conv or local"),
            Option("output", "FILE.npy", "float32, [images, width]"),
            Option("threads", "T", "threads of each rank"),
        ]
    ) { (arguments: Arguments, ranks: any Ranks) throws -> ExitStatus in
        let (layer, split, output) = try ranks.agree {
            (
                try arguments.choice("layer", default: FeatureLayer.code),
                arguments.has("split") ? try arguments.choice("split", default: Split.train) : nil,
                try arguments.required("output")
            )
        }
        let run = try TrainedRun(arguments, ranks: ranks)
        var skipped: [String] = []
        let images = try run.images(arguments, split: split, skipped: &skipped, ranks: ranks)
        let values = try ranks.agree {
            let all = try FrozenEncoder(run.model, card: run.card).features(of: images, layers: [layer])
            guard let values = all[layer] else { throw InputError("no features of layer \(layer.rawValue)") }
            return values
        }
        let shape = [images.count, values.shape[1]]
        try ranks.agree {
            if ranks.isFirst { _ = try NumPyArray.create(path: output + ".writing", shape: shape) }
        }
        try ranks.agree {
            try NumPyArray(path: output + ".writing").write(
                rows: images.images.lowerBound, values: UnsafeBufferPointer(values.elements))
        }
        try ranks.agree {  // only a whole array gets its name
            guard ranks.isFirst else { return }
            try moveFile(output + ".writing", to: output)
            try SkippedFiles(skipped, kept: images.count).report(listing: output + ".skipped.txt", tell: complain)
        }
        if ranks.isFirst { print("\(output): float32 \(shape), layer \(layer.rawValue)") }
        return .success
    }
}

extension TrainedRun {
    /// Normalised pixels of the images that this rank holds, [held, height·width·channels].
    fileprivate func pixels(of dataset: ImageDataset) -> Tensor {
        let result = device.tensor([dataset.images.count, dataset.shape.size])
        dataset.fill(result.base, indices: Array(dataset.images), normalisation: card.normalisation)
        return result
    }
}

extension Features {
    /// Features of a data set's images with its labels. Collective.
    fileprivate init(_ values: Tensor, of dataset: ImageDataset, classes: Int, ranks: any Ranks) throws {
        let labels = try ranks.agree {
            guard let labels = dataset.labels else {
                throw InputError("the data have no labels: eval needs them, embed doesn't")
            }
            return labels.map(Int.init)
        }
        try self.init(values: values, labels: labels, classes: classes, ranks: ranks)
    }
}
