import Collectives
import Foundation
import Tensors

/// What happens in a run directory before a run's first step. All of it is collective.
struct RunOpening<M: Method> {
    let output: String
    let isResumed: Bool
    let ranks: any Ranks
    /// Called on the first rank.
    let warn: (String) -> Void

    var checkpoints: CheckpointStore { CheckpointStore(run: output) }

    /// Refuses ranks of several hosts where one has a stale settings file, say.
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
                "rank \(other) was given other settings than rank 0: type the same and have the same settings files on "
                    + "every host, and --output in a folder that all share")
        }
    }

    /// The run directory, locked; on the first rank.
    func directory() throws -> RunDirectory? {
        try ranks.agree { ranks.isFirst ? try RunDirectory(output, patience: isResumed ? 10 : 0, warn: warn) : nil }
    }

    /// The newest checkpoint that is whole; nil where there is none.
    /// - Parameter steps: of the whole run.
    func checkpoint(steps: Int) throws -> LoadedCheckpoint? {
        let checkpoint: LoadedCheckpoint? = try ranks.agree {
            guard let last = try checkpoints.steps.last else {
                guard let folder = try checkpoints.folders.last else { return nil }
                throw InputError(
                    "\(checkpoints.path(folder)) has no manifest, and no other checkpoint is there: remove "
                        + "\(checkpoints.folder) to start anew, or choose another --output")
            }
            guard isResumed else {
                throw InputError(
                    "\(output) holds a run of \(last) steps: add --resume to go on with it, or choose another --output")
            }
            guard steps >= last else {
                throw InputError("steps is \(steps), and \(output) holds a run of \(last): ask for more")
            }
            return try checkpoints.newest { if ranks.isFirst { warn($0) } }
        }
        let starts = try ranks.gather(checkpoint?.step ?? 0)
        try ranks.agree {
            guard Set(starts).count == 1 else {
                throw InputError(
                    "ranks see other newest checkpoints in \(output): steps \(starts); use a shared folder")
            }
        }
        return checkpoint
    }

    /// The model, as the checkpoint has it where there is one.
    func model(
        _ configuration: Configuration<M>, for data: M.Source, from checkpoint: LoadedCheckpoint?, device: Device
    ) throws -> Model<M> {
        let model = try ranks.agree { try Model(configuration, card: data.card, device: device) }
        let notes = checkpoint?.notes(on: data.changes) ?? []
        try ranks.agree {
            guard let checkpoint else { return }
            try checkpoint.check(isOf: M.self)
            let card: M.Source.Card = try checkpoint.card()
            // Mean and deviation tell one data set from another, where they are taken as they were.
            guard card == data.card || !notes.isEmpty && card.hasShape(of: data.card) else {
                throw InputError(
                    "the images in \(configuration.data.path) are not those of the run in \(output): "
                        + "go on with the same, or choose another --output")
            }
            try checkpoint.restore(model.store)
            try checkpoint.restoreRules(model.store)
        }
        if ranks.isFirst {
            for note in notes { warn("\(note); the run goes on with the data as they are now, mean and deviation too") }
        }
        return model
    }

    /// Writes what the run directory says of itself.
    /// - Parameter checkpoint: from which the run goes on.
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
