import Collectives
import Datasets
import Evaluation
import Tensors
import Training

/// The model that a run directory holds, ready to be used. The same on every rank.
struct TrainedRun {
    /// What `--layer` takes.
    static let layerNames = FeatureLayer.allCases.map(\.rawValue).joined(separator: ", ")
    static let skipBroken = Option("skip-broken", "leave out image files that don't decode, and list them")

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
                if text == "best", let best = store.best { return (configuration, try store.load(best)) }
                guard let step = Int(text), try store.steps.contains(step) else {
                    throw InputError(
                        "--step is \(text): \(run) has checkpoints of steps \(try store.steps)"
                            + (store.best == nil ? ", none of them with a mean loss to be the best" : ", or take best"))
                }
                return (configuration, try store.load(step))
            }
            guard let checkpoint = try store.newest(warn: { if ranks.isFirst { Program.complain($0) } }) else {
                throw InputError("\(run) has no checkpoint yet: train with --steps or wait for the first")
            }
            return (configuration, checkpoint)
        }
        let steps = try ranks.gather(checkpoint.step)
        try ranks.agree {
            guard Set(steps).count == 1 else {
                throw InputError("ranks see other checkpoints, of steps \(steps), for the run goes on: add --step N")
            }
        }
        let device = try Program.device(configuration, ranks: ranks)
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

    /// A model like it before its first step; of the run's own seed, the model itself before its first step.
    func untrained(seed: UInt64) throws -> Model {
        var configuration = configuration
        configuration.seed = seed
        return try Model(configuration, card: card, device: device)
    }

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
