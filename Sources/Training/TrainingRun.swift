import Autodiff
import Collectives
import Datasets
import Foundation
import Layers
import Objectives
import Tensors

/// Training that can't go on.
private struct Failure: Error, CustomStringConvertible {
    let description: String
}

/// A run: a model, its data, and the directory that keeps what comes of it.
package final class TrainingRun {
    package enum Outcome: Equatable, Sendable {
        case finished
        /// Stopped by a signal or a file behind this many steps. With a checkpoint, or with what hindered it.
        case interrupted(step: Int, problem: String?)
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
    private let writer: CheckpointWriter
    private let activity: Activity
    /// On the first rank.
    private let directory: RunDirectory?
    private let output: String
    private var slowRanksTold: Set<Int> = []
    private var isJournalTold = false

    /// So many steps without a finite loss and gradient in a row end the run.
    private static let mostSkipped = 10

    /// What the ranks tell each other with each step's sums.
    private enum Vote: Int, CaseIterable {
        case stop, save, hasWritten, compareRanks
    }

    /// Prepares a run in the directory `output`, from its newest checkpoint when resuming. Collective.
    package init(
        _ configuration: Configuration, output: String, resume: Bool, device: Device, ranks: any Ranks
    ) throws {
        let watched = WatchedRanks(ranks)
        let ranks: any Ranks = watched
        self.ranks = ranks
        activity = watched.activity
        self.device = device
        self.output = output
        try Self.agree(on: configuration, ranks: ranks)
        let warn = { (text: String) in warning(text, from: ranks) }
        let store = CheckpointStore(run: output)
        directory = try ranks.agree {
            ranks.isFirst ? try RunDirectory(output, patience: resume ? 10 : 0, warn: warn) : nil
        }
        let checkpoint: LoadedCheckpoint? = try ranks.agree {
            guard let last = try store.steps.last else {
                guard let folder = try store.folders.last else { return nil }
                throw InputError(
                    "\(store.path(folder)) has no manifest, and no other checkpoint is there: remove \(store.folder) to "
                        + "start anew, or choose another --output")
            }
            guard resume else {
                throw InputError(
                    "\(output) holds a run of \(last) steps: add --resume to go on with it, or choose another --output")
            }
            guard configuration.steps >= last else {
                throw InputError(
                    "steps is \(configuration.steps), and \(output) holds a run of \(last): ask for more")
            }
            return try store.newest { if ranks.isFirst { warn($0) } }
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
        if let note = engine.note, ranks.isFirst { warn(note) }
        writer = CheckpointWriter(
            store, model: model, optimisers: optimisers, card: card, keep: configuration.checkpoint.keep, ranks: ranks,
            owned: engine.ownedRegions, warn: warn)
        try ranks.agree {
            guard ranks.isFirst else { return }
            try makeFolder(store.folder)
            if let checkpoint { try store.setAside(after: checkpoint.step) }
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            try DurableFile.replace("\(output)/config.json", by: try encoder.encode(configuration))
        }
    }

    /// Refuses ranks of several hosts where one has a stale settings file, say. Collective.
    private static func agree(on configuration: Configuration, ranks: any Ranks) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        let sum = try ranks.agree { try encoder.encode(configuration).withUnsafeBytes { checksum($0) } }
        let sums = try ranks.gather(Int(sum))
        try ranks.agree {
            guard let other = sums.firstIndex(where: { $0 != sums[0] }) else { return }
            throw InputError(
                "rank \(other) was given other settings than rank 0: type the same and have the same settings files on "
                    + "every host, and --output in a folder that all share")
        }
    }

    /// The loop. Collective.
    package func train(stop: StopRequest, isTerminal: Bool) throws -> Outcome {
        let steps = configuration.steps
        let journal = try ranks.agree { ranks.isFirst ? try Journal(run: output, from: firstStep) : nil }
        let progress = Progress(steps: steps, from: firstStep, isTerminal: isTerminal)
        let hosts = try ranks.gatherText(ranks.host)
        let slowRanks = SlowRanks(activity, hosts: hosts, ranks: ranks)
        let watchdog = try watchdog(hosts)
        defer { watchdog?.stop() }
        device.memory.resetPeak()
        var skipped = 0
        var losses: [Double] = []  // since the last checkpoint
        var before = progress.seconds
        for step in firstStep..<max(steps, firstStep) {
            activity.begin(step: step)
            let (images, shares) = data.batch(step: step, device: device)
            let states = model.states.map(\.values)
            var terms = try model.gradients(
                images: images, shares: shares, ranks: ranks, step: step, finished: engine.take)
            let votes = ballot([
                .stop: stop.isMade || directory?.isAskedToStop == true, .save: writer.wantsAnother,
                .hasWritten: writer.hasWritten, .compareRanks: slowRanks.isDue,
            ])
            let update = try engine.update(&terms, votes: votes) { $0.rate(at: step, of: steps) }
            func count(_ vote: Vote) -> Int { Int(update.votes[vote.rawValue]) }
            let isStopping = count(.stop) > 0
            if update.isFinite {
                skipped = 0
                losses.append(terms.loss)
            } else {
                for (state, values) in zip(model.states, states) { state.values = values }
                skipped += 1
                try skip(step: step, inARow: skipped, loss: terms.loss, images: images)
            }

            slowRanks.endStep(images: shares.own)
            let comparison = count(.compareRanks) > 0 ? try slowRanks.compare() : nil
            let now = progress.seconds
            try note(
                step: step, terms, shares: shares, seconds: now, since: before, comparison: comparison, to: journal,
                progress)
            before = now
            try writer.advance(everyoneHasWritten: count(.hasWritten) == ranks.worldSize)
            // A run that has gone astray doesn't push out what was good.
            let isDue = isDue(behind: step + 1) || count(.save) > 0
            if isStopping || isDue && skipped == 0 {
                try writer.start(step: step + 1, loss: mean(losses))
                losses.removeAll(keepingCapacity: true)
            }
            if isStopping && step + 1 < steps {
                let problem = try writer.finish()
                journal?.flush()
                directory?.takeStop()
                progress.end()
                return .interrupted(step: step + 1, problem: problem)
            }
        }
        if firstStep == 0 && steps == 0 { try writer.start(step: 0, loss: nil) }
        try finish(skipped: skipped)
        journal?.flush()
        return .finished
    }

    private func isDue(behind steps: Int) -> Bool {
        let every = configuration.checkpoint.every
        return steps == configuration.steps || every > 0 && steps % every == 0
    }

    /// The last checkpoint is on the disk, or the run has failed.
    private func finish(skipped: Int) throws {
        let problem = try writer.finish()
        directory?.takeStop()
        try ranks.agree {
            if let problem {
                throw Failure(
                    description: "the run's last \(problem); make room, and --resume goes on from the one before")
            }
            guard skipped > 0 else { return }
            throw InputError(  // to start again wouldn't help
                "the run's last \(skipped) steps had no finite loss and gradient, and changed nothing: lower "
                    + "optimiser.rate (\(configuration.optimiser.rate)) and --resume, or start anew")
        }
    }

    private func ballot(_ votes: [Vote: Bool]) -> [Double] { Vote.allCases.map { votes[$0] == true ? 1 : 0 } }

    /// nil where there are too few to be held against those of other checkpoints.
    private func mean(_ losses: [Double]) -> Double? {
        let every = configuration.checkpoint.every
        guard !losses.isEmpty && losses.count >= min(every > 0 ? every : .max, configuration.steps) / 2 else {
            return nil
        }
        return losses.reduce(0, +) / Double(losses.count)
    }

    private func watchdog(_ hosts: [String]) throws -> Watchdog? {
        guard ranks.worldSize > 1 && configuration.stallTimeout > 0 else { return nil }
        let folder = output + "/stalled"
        if ranks.isFirst { try? FileManager.default.removeItem(atPath: folder) }
        try ranks.barrier()
        let label = ranks.label
        return Watchdog(
            activity, rank: ranks.rank, hosts: hosts, folder: folder, timeout: Double(configuration.stallTimeout)
        ) { message in
            if let message { writeError("\(label) \(message)") } else { Thread.sleep(forTimeInterval: 15) }
            _exit(1)  // at once: what an orderly end waits for is what doesn't come
        }
    }

    private func note(
        step: Int, _ terms: LossTerms, shares: Shares, seconds: Double, since before: Double,
        comparison: SlowRanks.Comparison?, to journal: Journal?, _ progress: Progress
    ) throws {
        guard ranks.isFirst else { return }
        try journal?.note(
            Metric(
                step: step + 1, epoch: data.plan.epoch(ofStep: step), terms: terms,
                mutualInformation: mutualInformation(terms, images: shares.total),
                rate: configuration.optimiser.rate(at: step, of: configuration.steps),
                imagesPerSecond: Double(shares.total) / max(seconds - before, 1e-9), seconds: seconds,
                computing: comparison))
        if let problem = journal?.problem, !isJournalTold { warning("\(problem); training goes on", from: ranks) }
        isJournalTold = journal?.problem != nil
        if let comparison, comparison.isSlow { warnOfSlow(comparison) }
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

    private func warnOfSlow(_ comparison: SlowRanks.Comparison) {
        guard !slowRanksTold.contains(comparison.rank) else { return }
        slowRanksTold.insert(comparison.rank)
        warning(
            String(
                format:
                    "rank %ld on %@ is slow: it computes %.2f ms an image, the median rank %.2f ms, and the others "
                    + "wait for it", comparison.rank, comparison.host, comparison.slowest, comparison.median),
            from: ranks)
    }

    /// A step that changed nothing: keeps the batch of the first in a row, and ends the run at the last that is borne.
    private func skip(step: Int, inARow skipped: Int, loss: Double, images: Tensor) throws {
        let broken = NonFiniteBatch(run: output)
        let isKept = try skipped == 1 && ranks.gather(ranks.isFirst && broken.hasRoom ? 1 : 0)[0] == 1
        if isKept {
            let problem = Result {
                try broken.write(
                    step: step + 1, rank: ranks.rank, images: images, indices: data.indices(step: step))
            }
            if case .failure(let error) = problem {
                warning("batch of step \(step + 1) not kept: \(error)", from: ranks)
            }
        }
        if skipped == 1 && ranks.isFirst {
            warning(
                "step \(step + 1) skipped, its loss \(loss) or a gradient is not finite"
                    + (isKept ? "; its images are in \(output)/nonfinite/step-\(step + 1)" : ""), from: ranks)
        }
        guard skipped >= Self.mostSkipped else { return }
        try writer.finish()
        try ranks.agree {
            throw InputError(  // to start again wouldn't help
                "loss \(loss) or its gradient was not finite in \(skipped) steps in a row, up to step "
                    + "\(step + 1): lower optimiser.rate (\(configuration.optimiser.rate)) and --resume")
        }
    }
}

/// Says something on standard error, whether or not anybody hears it.
private func writeError(_ text: String) {
    try? FileHandle.standardError.write(contentsOf: Data("\(text)\n".utf8))
}

private func warning(_ text: String, from ranks: any Ranks) { writeError("\(ranks.label) \(text)") }
