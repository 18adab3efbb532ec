import Autodiff
import Collectives
import Data
import Foundation
import Layers
import Objectives
import Tensors

/// Training that has gone astray.
private struct NotFinite: Error, CustomStringConvertible {
    let description: String
}

/// A run: a model, its data, and the directory that keeps what comes of it.
package final class TrainingRun {
    package enum Outcome: Equatable, Sendable {
        case finished
        /// Stopped by a signal behind this many steps, with a checkpoint.
        case interrupted(step: Int)
    }

    package let model: Model
    package let data: TrainingData
    package let firstStep: Int
    private let configuration: Configuration
    private let ranks: any Ranks
    private let device: Device
    /// One for each of the model's parameter sets.
    private let optimisers: [Adam]
    private let engine: GradientEngine
    private let store: CheckpointStore
    private let output: String

    /// So many steps without a finite loss and gradient in a row end the run.
    private static let mostSkipped = 10

    /// Prepares a run in the directory `output`, from its newest checkpoint when resuming. Collective.
    package init(
        _ configuration: Configuration, output: String, resume: Bool, device: Device, ranks: any Ranks
    ) throws {
        self.ranks = ranks
        self.device = device
        self.output = output
        let store = CheckpointStore(run: output)
        self.store = store
        let checkpoint: LoadedCheckpoint? = try ranks.agree {
            guard !store.steps.isEmpty else { return nil }
            guard resume else {
                throw InputError(
                    "\(output) holds a run of \(store.steps.last ?? 0) steps: add --resume to go on with it, "
                        + "or choose another --output")
            }
            guard configuration.steps >= store.steps.last ?? 0 else {
                throw InputError(
                    "steps is \(configuration.steps), and \(output) holds a run of \(store.steps.last ?? 0): ask for more"
                )
            }
            return try store.newest {
                if ranks.isFirst { FileHandle.standardError.write(Foundation.Data("\(ranks.label) \($0)\n".utf8)) }
            }
        }
        let starts = try ranks.gather(checkpoint?.step ?? 0)
        try ranks.agree {
            guard Set(starts).count == 1 else {
                throw InputError(
                    "ranks see other newest checkpoints in \(output): steps \(starts); use a shared folder")
            }
        }
        data = try TrainingData(configuration, ranks: ranks)
        let card = data.card
        let shards = data.plan.shards.count
        let (model, configuration) = try ranks.agree {
            (
                try Model(configuration, card: card, device: device),
                try configuration.resolved(for: card, virtualShards: shards)
            )
        }
        self.model = model
        self.configuration = configuration
        let optimisers = model.optimisers(configuration)
        self.optimisers = optimisers
        firstStep = checkpoint?.step ?? 0
        try ranks.agree {
            guard let checkpoint else { return }
            guard checkpoint.card == card else {  // mean and deviation tell one data set from another
                throw InputError(
                    "the images in \(configuration.data.path) are not those of the run in \(output): "
                        + "go on with the same, or choose another --output")
            }
            try checkpoint.restore(model)
            try checkpoint.restore(optimisers, of: model)
        }
        engine = try GradientEngine(model, optimisers: optimisers, ranks: ranks)
        if let note = engine.note, ranks.isFirst {
            FileHandle.standardError.write(Foundation.Data("\(ranks.label) \(note)\n".utf8))
        }
        try ranks.agree {
            guard ranks.isFirst else { return }
            try makeFolder(store.folder)
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            try DurableFile.replace("\(output)/config.json", by: try encoder.encode(configuration))
        }
    }

    /// The loop. Collective.
    package func train(stop: StopRequest, isTerminal: Bool) throws -> Outcome {
        let steps = configuration.steps
        let journal = try ranks.agree { ranks.isFirst ? try Journal(run: output, from: firstStep) : nil }
        let progress = Progress(steps: steps, from: firstStep, isTerminal: isTerminal)
        device.memory.resetPeak()
        var skipped = 0
        var before = progress.seconds
        for step in firstStep..<max(steps, firstStep) {
            let (images, shares) = data.batch(step: step, device: device)
            let states = model.states.map(\.values)
            var terms = try model.gradients(
                images: images, shares: shares, ranks: ranks, step: step, finished: engine.take)
            let update = try engine.update(&terms, votes: [stop.isMade ? 1 : 0]) { $0.rate(at: step, of: steps) }
            let isStopping = update.votes[0] > 0
            if update.isFinite {
                skipped = 0
            } else {
                for (state, values) in zip(model.states, states) { state.values = values }
                skipped += 1
                try ranks.agree { try refuseToGoOn(skipped: skipped, step: step, loss: terms.loss) }
            }

            let now = progress.seconds
            try note(step: step, terms, shares: shares, seconds: now, since: before, to: journal, progress)
            before = now
            let every = configuration.checkpoint.every
            if isStopping || step + 1 == steps || every > 0 && (step + 1) % every == 0 {
                try save(step: step + 1)
            }
            if isStopping && step + 1 < steps {
                progress.end()
                return .interrupted(step: step + 1)
            }
        }
        if firstStep == 0 && steps == 0 { try save(step: 0) }
        try ranks.agree {
            guard skipped > 0 else { return }
            throw NotFinite(
                description:
                    "the run's last \(skipped) steps had no finite loss and gradient, and changed nothing: lower "
                    + "optimiser.rate (\(configuration.optimiser.rate)) and start anew, or go on with more --steps")
        }
        return .finished
    }

    private func note(
        step: Int, _ terms: LossTerms, shares: Shares, seconds: Double, since before: Double, to journal: Journal?,
        _ progress: Progress
    ) throws {
        guard ranks.isFirst else { return }
        try journal?.note(
            Metric(
                step: step + 1, epoch: data.plan.epoch(ofStep: step), terms: terms,
                mutualInformation: mutualInformation(terms, images: shares.total),
                rate: configuration.optimiser.rate(at: step, of: configuration.steps),
                imagesPerSecond: Double(shares.total) / max(seconds - before, 1e-9), seconds: seconds))
        progress.show(step: step + 1, loss: terms.loss, images: shares.total)
    }

    /// The bound in nats of locations with codes, or else of images with codes, where the estimator gives one.
    private func mutualInformation(_ terms: LossTerms, images: Int) -> Double? {
        let settings = configuration.objective
        let of: (loss: Double?, locations: Int) =
            settings.localWeight > 0
            ? (terms.value(of: .local), model.encoder.locations) : (terms.value(of: .global), 1)
        let bound = of.loss.flatMap {
            settings.estimator.mutualInformation(
                loss: $0, anchor: settings.anchor, images: images, locations: of.locations)
        }
        return bound.flatMap { $0.isFinite ? $0 : nil }
    }

    private func refuseToGoOn(skipped: Int, step: Int, loss: Double) throws {
        guard skipped >= Self.mostSkipped else { return }
        throw NotFinite(
            description: "loss \(loss) or its gradient was not finite in \(skipped) steps in a row, up to step "
                + "\(step + 1): lower optimiser.rate (\(configuration.optimiser.rate)) and --resume")
    }

    private func save(step: Int) throws {
        try ranks.agree {
            guard ranks.isFirst else { return }
            try store.write(
                step: step, model: model, optimisers: optimisers, card: data.card, keep: configuration.checkpoint.keep)
        }
    }
}
