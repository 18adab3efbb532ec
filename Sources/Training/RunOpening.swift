import Collectives
import Foundation
import Tensors

/// The work in a run directory before a run's first step. All of it is collective.
struct RunOpening<M: Method> {
    let output: String
    let isResumed: Bool
    let ranks: any Ranks
    /// Called on rank 0.
    let warn: (String) -> Void

    var checkpoints: CheckpointStore { CheckpointStore(run: output) }

    /// Refuses ranks with different settings: a host may have an old settings file, for example.
    func agree(on configuration: Configuration<M>) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        let sum = try ranks.agree {
            try encoder.encode(configuration.tree()).withUnsafeBytes { checksum($0) }
        }
        let sums = try ranks.gather(Int(sum))
        try ranks.agree {
            guard let other = sums.firstIndex(where: { $0 != sums[0] }) else { return }
            throw InputError(
                "rank \(other) has other settings than rank 0: use the same options and settings files on every host, "
                    + "and an --output folder that all hosts share")
        }
    }

    /// The run directory, locked; on rank 0.
    func directory() throws -> RunDirectory? {
        try ranks.agree { ranks.isFirst ? try RunDirectory(output, patience: isResumed ? 10 : 0, warn: warn) : nil }
    }

    /// The newest undamaged checkpoint; nil where there is none.
    /// - Parameter steps: of the whole run.
    func checkpoint(steps: Int) throws -> LoadedCheckpoint? {
        let checkpoint: LoadedCheckpoint? = try ranks.agree {
            guard let last = try checkpoints.steps.last else {
                guard let folder = try checkpoints.folders.last else { return nil }
                throw InputError(
                    "\(checkpoints.path(folder)) has no manifest, and there is no other checkpoint: remove "
                        + "\(checkpoints.folder) to start anew, or choose another --output")
            }
            guard isResumed else {
                throw InputError(
                    "\(output) already holds a run of \(last) steps: add --resume to continue it, or choose another "
                        + "--output")
            }
            guard steps >= last else {
                throw InputError("steps is \(steps), but \(output) already holds a run of \(last): set more steps")
            }
            return try checkpoints.newest { if ranks.isFirst { warn($0) } }
        }
        let starts = try ranks.gather(checkpoint?.step ?? 0)
        try ranks.agree {
            guard Set(starts).count == 1 else {
                throw InputError(
                    "ranks see different newest checkpoints in \(output), of steps \(starts): use a folder that all "
                        + "hosts share")
            }
        }
        return checkpoint
    }

    /// The model, restored from the checkpoint if there is one.
    func model(
        _ configuration: Configuration<M>, for data: M.Source, from checkpoint: LoadedCheckpoint?, device: Device
    ) throws -> Model<M> {
        let model = try ranks.agree { try Model(configuration, card: data.card, device: device) }
        let notes = checkpoint?.notes(on: data.changes) ?? []
        try ranks.agree {
            guard let checkpoint else { return }
            try checkpoint.check(isOf: M.self)
            let card: M.Source.Card = try checkpoint.card()
            // Mean and deviation identify the data, unless they are computed otherwise now.
            guard card == data.card || !notes.isEmpty && card.hasShape(of: data.card) else {
                throw InputError(
                    "the data in \(configuration.data.path) are not those of the run in \(output): use the same data, "
                        + "or choose another --output")
            }
            try checkpoint.restore(model.store)
            try checkpoint.restoreRules(model.store)
        }
        if checkpoint == nil {
            // A processor's own rounding of a start that is computed from the data must not make ranks differ.
            for state in model.store.states {
                try state.values.withUnsafeMutableBytes { try ranks.broadcast($0, from: 0) }
            }
        }
        if ranks.isFirst {
            for note in notes {
                warn(
                    "\(note); the run continues with the data as they are read now, with their "
                        + "present mean and deviation")
            }
        }
        return model
    }

    /// Starts a new model's encoder from the newest checkpoint of another run.
    func start(_ model: Model<M>, from run: String) throws {
        let lines = try ranks.agree {
            guard let checkpoint = try CheckpointStore(run: run).newest(warn: { if ranks.isFirst { warn($0) } }) else {
                throw InputError("--init is \(run), which has no checkpoint: expected the directory of a trained run")
            }
            let name = URL(fileURLWithPath: checkpoint.folder).path
            return ["the encoder starts from \(name)"]
                + (try checkpoint.start(model.store)).map { "--init: \($0)" }
        }
        if ranks.isFirst { for line in lines { warn(line) } }
    }

    /// Writes the settings into the run directory.
    /// - Parameter checkpoint: the one from which the run continues.
    func write(_ configuration: Configuration<M>, from checkpoint: LoadedCheckpoint?) throws {
        try ranks.agree {
            guard ranks.isFirst else { return }
            try makeFolder(checkpoints.folder)
            if let checkpoint { try checkpoints.setAside(after: checkpoint.step) }
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            try DurableFile.replace("\(output)/config.json", by: try encoder.encode(configuration.tree()))
        }
    }
}
