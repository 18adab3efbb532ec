import Collectives
import Datasets
import Foundation
import Layers
import Tensors

/// An error after which training can't continue.
struct TrainingFailure: Failure, CustomStringConvertible {
    let description: String
    let status: ExitStatus
}

/// A run: a model, its data, and the directory for its results.
package final class TrainingRun<M: Method> {
    package let model: Model<M>
    package let data: M.Source
    /// The settings with automatic ones replaced by their values.
    package let configuration: Configuration<M>
    package let firstStep: Int
    private let output: String
    private let ranks: any Ranks
    private let activity: Activity
    /// On rank 0.
    private let directory: RunDirectory?
    private let stepper: Stepper<M>
    private let writer: CheckpointWriter
    private let skipped: SkippedSteps
    private let warn: (String) -> Void

    /// At least 1.
    package var stepsPerEpoch: Int { max(data.plan.stepsPerEpoch / stepper.drawsPerStep, 1) }

    /// The votes that the ranks exchange with each update's sums.
    private enum Vote: Int, CaseIterable {
        case stop, save, hasWritten, compareRanks
    }

    /// Prepares a run in the directory `output`, from its newest checkpoint when resuming. Collective.
    /// - Parameter encoder: the directory of a run from whose encoder a new run starts.
    package init(
        _ asked: Configuration<M>, output: String, resume: Bool, encoder: String? = nil, device: Device,
        ranks: any Ranks
    ) throws {
        let watched = WatchedRanks(ranks)
        let ranks: any Ranks = watched
        let warn = { (text: String) in writeError("\(ranks.label) \(text)") }
        (self.ranks, self.output, self.warn, activity) = (ranks, output, warn, watched.activity)
        let opening = RunOpening<M>(output: output, isResumed: resume, ranks: ranks, warn: warn)
        try opening.agree(on: asked)
        directory = try opening.directory()
        let checkpoint = try opening.checkpoint(steps: asked.steps)
        firstStep = checkpoint?.step ?? 0
        let recipe = try ranks.agree { try M.recipe(asked.method, asked.data) }
        let data = try M.Source(asked.data, recipe, batch: asked.batch, seed: asked.seed, ranks: ranks)
        self.data = data
        configuration = try ranks.agree {
            var result = asked
            result.data = data.settings
            result.method = try M.resolved(asked.method, for: data.card)
            return result
        }
        model = try opening.model(configuration, for: data, from: checkpoint, device: device)
        if let encoder {
            if let checkpoint {
                if ranks.isFirst { warn("--init is left out: the run goes on from its own step \(checkpoint.step)") }
            } else {
                try opening.start(model, from: encoder)
            }
        }
        let engine = try GradientEngine(model.store, ranks: ranks, exchange: configuration.exchange)
        if ranks.isFirst { for note in engine.notes { warn(note) } }
        stepper = Stepper(model, engine, configuration.run, ranks: ranks) { try data.batch($0, device: device) }
        writer = CheckpointWriter(
            opening.checkpoints, method: M.name, store: model.store, card: try JSONValue(of: data.card),
            keep: configuration.checkpoint.keep, ranks: ranks, owned: engine.ownedRegions, warn: warn)
        skipped = SkippedSteps(run: output, ranks: ranks, warn: warn)
        try opening.write(configuration, from: checkpoint)
    }

    package enum Outcome: Equatable, Sendable {
        case finished
        /// Stopped by a signal or a file after this many steps, with a checkpoint, or with the problem of writing it.
        case interrupted(step: Int, problem: String?)
    }

    /// The loop. Collective.
    package func train(stop: StopRequest, isTerminal: Bool) throws -> Outcome {
        let steps = configuration.steps
        let hosts = try ranks.gatherText(ranks.host)
        let report = try RunReport(
            run: output, from: firstStep, of: steps, plan: data.plan, drawsPerStep: stepper.drawsPerStep,
            activity: activity, hosts: hosts, ranks: ranks, isTerminal: isTerminal, warn: warn)
        let watchdog = try watchdog(hosts)
        defer { watchdog?.stop() }
        model.device.memory.resetPeak()
        var losses: [Double] = []  // since the last checkpoint
        for step in firstStep..<max(steps, firstStep) {
            activity.begin(step: step)
            let outcome = try stepper(step) {
                ballot([
                    .stop: stop.isMade || directory?.isAskedToStop == true, .save: writer.wantsAnother,
                    .hasWritten: writer.hasWritten, .compareRanks: report.wantsComparison,
                ])
            }
            func count(_ vote: Vote) -> Int { Int(outcome.votes[vote.rawValue]) }
            if outcome.isFinite { losses.append(outcome.terms.loss) }
            try check(step: step, outcome)
            try report.note(
                step: step, outcome.terms, rate: rate(at: step), samples: outcome.samples,
                isCompared: count(.compareRanks) > 0)
            try writer.advance(everyoneHasWritten: count(.hasWritten) == ranks.worldSize)
            // A diverged run must not push out good checkpoints.
            let isDue = isDue(after: step + 1) || count(.save) > 0
            if isDue && outcome.isFinite { try model.estimateStatistics(on: data, ranks: ranks) }
            if count(.stop) > 0 || isDue && outcome.isFinite {
                try writer.start(step: step + 1, loss: mean(losses))
                losses.removeAll(keepingCapacity: true)
            }
            if count(.stop) > 0 && step + 1 < steps {
                let problem = try writer.finish()
                report.end(isInterrupted: true)
                directory?.takeStop()
                return .interrupted(step: step + 1, problem: problem)
            }
        }
        if firstStep == 0 && steps == 0 { try writer.start(step: 0, loss: nil) }
        try finish()
        report.end(isInterrupted: false)
        return .finished
    }

    /// Ends the run when too many steps in a row were skipped.
    private func check(step: Int, _ outcome: Stepper<M>.Outcome) throws {
        guard !outcome.isFinite else { return skipped.end() }
        try skipped.add(
            step: step + 1, loss: outcome.terms.loss, batch: outcome.batch, players: outcome.players)
        guard skipped.areTooMany else { return }
        try writer.finish()
        try ranks.agree {
            throw TrainingFailure(
                description:
                    "the loss (\(outcome.terms.loss)) or its gradient was not finite in \(skipped.inARow) steps in a "
                    + "row, up to step \(step + 1): lower \(rates(of: skipped.players)) and --resume",
                status: .badInput)  // starting again wouldn't help
        }
    }

    /// Waits until the last checkpoint is on the disk. Throws where the run has failed.
    private func finish() throws {
        let problem = try writer.finish()
        directory?.takeStop()
        try ranks.agree {
            if let problem {
                throw TrainingFailure(
                    description: "the run's last \(problem); make room, then continue from the checkpoint before with "
                        + "--resume",
                    status: .failure)
            }
            guard skipped.inARow > 0 else { return }
            throw TrainingFailure(
                description: "the run's last \(skipped.inARow) steps had no finite loss and gradient: lower "
                    + "\(rates(of: skipped.players)) and --resume, or start a new run",
                status: .badInput)  // starting again wouldn't help
        }
    }

    private func isDue(after steps: Int) -> Bool {
        let every = configuration.checkpoint.every
        return steps == configuration.steps || every > 0 && steps % every == 0
    }

    private func ballot(_ votes: [Vote: Bool]) -> [Double] { Vote.allCases.map { votes[$0] == true ? 1 : 0 } }

    /// The mean loss; nil where there are too few losses to compare it with those of other checkpoints.
    private func mean(_ losses: [Double]) -> Double? {
        let every = configuration.checkpoint.every
        guard !losses.isEmpty && losses.count >= min(every > 0 ? every : .max, configuration.steps) / 2 else {
            return nil
        }
        return losses.reduce(0, +) / Double(losses.count)
    }

    /// Learning rate of the first group that has one.
    private func rate(at step: Int) -> Double? {
        model.store.groups.lazy.compactMap { $0.rate(at: step, of: self.configuration.steps) }.first
    }

    /// The rates of the groups that were to move, as advice for a diverged run, which may continue with lower ones:
    /// `optimiser.rate (0.001)`.
    private func rates(of players: [ParameterGroup]) -> String {
        players.map { group in
            switch group.rule {
            case .descends(let settings): "\(group.setting).rate (\(settings.rate))"
            case .follows: group.name
            }
        }.joined(separator: " or ")
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
            _exit(1)  // at once: an orderly end would wait for ranks that don't come
        }
    }
}

/// Writes a line to standard error. Failures are ignored.
private func writeError(_ text: String) {
    try? FileHandle.standardError.write(contentsOf: Data("\(text)\n".utf8))
}
