import Collectives
import Datasets
import Evaluation
import Foundation
import Methods
import Tensors
import Training

/// A run as its directory keeps it: its method, and its settings as they were written.
struct SavedRun {
    /// Options of the commands that use a run's model.
    static let options = [
        Option("run", "DIR", "run directory that train wrote"),
        Option(
            "step", "N|best",
            "step of the checkpoint to use; best: the one with the least mean loss; the newest by default"),
        Option("skip-broken", "leave out image files that can't be decoded, and list them"),
        Program.threadsOption, Program.precisionOption,
    ]

    let directory: String
    let kind: MethodKind
    let settings: JSONValue

    /// - Throws: `InputError` where `--run` isn't the directory of a run.
    init(_ arguments: Arguments) throws {
        directory = try arguments.required("run")
        guard let saved = try Program.savedSettings(run: directory) else {
            throw InputError("\(directory) is not a run directory: it holds no config.json")
        }
        settings = saved
        kind = try MethodKind(layers: [saved])
    }
}

/// The model in a run directory, ready for use. It is the same on every rank.
struct TrainedRun<M: Method> {
    let model: Model<M>
    let configuration: Configuration<M>
    var step: Int { checkpoint.step }
    private let checkpoint: LoadedCheckpoint

    var device: Device { model.device }
    var card: M.Source.Card { model.card }

    /// Collective.
    init(_ saved: SavedRun, _ arguments: Arguments, ranks: any Ranks) throws {
        let (configuration, checkpoint) = try ranks.agree {
            var configuration = try Configuration<M>(layers: [saved.settings])
            configuration.threads = try arguments.number("threads", in: 0...1024, default: configuration.threads)
            configuration.run.precision = try arguments.choice("precision", default: .float32)
            configuration.data.path = arguments.text("data") ?? configuration.data.path
            configuration.data.skipBroken = configuration.data.skipBroken || arguments.has("skip-broken")
            return (configuration, try Self.checkpoint(of: saved.directory, arguments, isFirst: ranks.isFirst))
        }
        let steps = try ranks.gather(checkpoint.step)
        try ranks.agree {
            guard Set(steps).count == 1 else {
                throw InputError(
                    "ranks found different newest checkpoints, of steps \(steps), because the run still "
                        + "trains: add --step N")
            }
        }
        let device = try Program.device(
            threads: configuration.threads, precision: configuration.precision, ranks: ranks)
        self.configuration = configuration
        self.checkpoint = checkpoint
        model = try ranks.agree {
            try checkpoint.check(isOf: M.self)
            let model = try Model(configuration, card: checkpoint.card(), device: device)
            try checkpoint.restore(model.store)
            return model
        }
    }

    private static func checkpoint(
        of run: String, _ arguments: Arguments, isFirst: Bool
    ) throws -> LoadedCheckpoint {
        let store = CheckpointStore(run: run)
        if let text = arguments.text("step") {
            if text == "best", let best = store.best { return try store.load(best) }
            guard let step = Int(text), try store.steps.contains(step) else {
                throw InputError(
                    "--step is \(text), but \(run) has checkpoints of steps \(try store.steps)"
                        + (store.best == nil ? ": none has a mean loss, so there is no best" : ", or best"))
            }
            return try store.load(step)
        }
        guard let checkpoint = try store.newest(warn: { if isFirst { Program.complain($0) } }) else {
            throw InputError("\(run) has no checkpoint yet: wait for the first, or train again with --resume")
        }
        return checkpoint
    }

    /// The notes on these samples, a line each, without repetitions.
    func notes(on samples: [EvaluationSamples]) -> [String] {
        let lines = samples.flatMap { $0.notes + checkpoint.notes(on: $0.changes) }
        return lines.enumerated().filter { !lines.prefix($0.offset).contains($0.element) }.map(\.element)
    }

    /// A model of the same settings before its first step. With the run's own seed, it is the model from which training
    /// started.
    func untrained(seed: UInt64) throws -> Model<M> {
        var configuration = configuration
        configuration.run.seed = seed
        return try Model(configuration, card: card, device: device)
    }

    /// A split of the data, prepared as in training. Collective.
    /// - Parameters:
    ///   - split: nil for the training split, or for all samples of data without splits.
    ///   - isLabelled: whether to read labels.
    ///   - patches: the parts of samples whose features are averaged; nil for whole samples.
    func rows(
        _ split: Split?, isLabelled: Bool, patches: PatchGrid?, ranks: any Ranks
    ) throws -> EvaluationRows<M.Source.Batch> {
        let recipe = try ranks.agree { try M.recipe(configuration.method, configuration.data) }
        return try M.Source.rows(
            configuration.data, recipe, split: split, isLabelled: isLabelled, patches: patches, card: card, ranks: ranks
        )
    }
}
