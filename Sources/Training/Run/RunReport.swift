import Collectives
import Datasets
import Foundation

/// What a run tells of its steps: lines of metrics, the line on the terminal, and which rank is slow.
final class RunReport {
    private let ranks: any Ranks
    private let plan: BatchPlan
    private let drawsPerStep: Int
    /// On the first rank.
    private let journal: Journal?
    private let progress: Progress
    private let slowRanks: SlowRanks
    private let warn: (String) -> Void
    private var before: Double
    private var slowRanksTold: Set<Int> = []
    /// What was said last of what can't be written.
    private var journalTold: String?

    /// Collective.
    /// - Parameters:
    ///   - run: its directory.
    ///   - start: the first step, counted from 0, of `steps`.
    ///   - warn: called on the first rank.
    init(
        run: String, from start: Int, of steps: Int, plan: BatchPlan, drawsPerStep: Int, activity: Activity,
        hosts: [String], ranks: any Ranks, isTerminal: Bool, warn: @escaping (String) -> Void
    ) throws {
        self.ranks = ranks
        self.plan = plan
        self.drawsPerStep = drawsPerStep
        self.warn = warn
        journal = try ranks.agree { ranks.isFirst ? try Journal(run: run, from: start) : nil }
        if let broken = journal?.brokenLines, broken > 0 {
            warn("left out \(broken) broken line\(broken == 1 ? "" : "s") of \(run)/metrics.jsonl: a kill cuts one off")
        }
        progress = Progress(steps: steps, from: start, isTerminal: isTerminal)
        slowRanks = SlowRanks(activity, hosts: hosts, ranks: ranks)
        before = progress.seconds
    }

    /// This rank's vote of a step: whether it is time to compare what ranks compute.
    var wantsComparison: Bool { slowRanks.isDue }

    /// Takes note of a step, counted from 0. Collective where `isCompared`.
    /// - Parameter samples: of the step's batches: this rank's, and those of all.
    func note(
        step: Int, _ terms: LossTerms, rate: Double?, samples: (own: Int, total: Int), isCompared: Bool
    ) throws {
        slowRanks.endStep(images: samples.own)
        let comparison = isCompared ? try slowRanks.compare() : nil
        guard ranks.isFirst else { return }
        let now = progress.seconds
        try journal?.note(
            Metric(
                step: step + 1, epoch: plan.epoch(ofStep: step * drawsPerStep), terms: terms, rate: rate,
                imagesPerSecond: Double(samples.total) / max(now - before, 1e-9), seconds: now, computing: comparison))
        before = now
        if let problem = journal?.problem, problem != journalTold { warn("\(problem); training goes on") }
        journalTold = journal?.problem
        if let comparison, comparison.isSlow { warnOfSlow(comparison) }
        progress.show(step: step + 1, loss: terms.loss, images: samples.total)
    }

    /// Behind the last step.
    func end(isInterrupted: Bool) {
        journal?.flush()
        if isInterrupted { progress.end() }
    }

    private func warnOfSlow(_ comparison: SlowRanks.Comparison) {
        guard slowRanksTold.insert(comparison.rank).inserted else { return }
        warn(
            String(
                format:
                    "rank %ld on %@ is slow: it computes %.2f ms an image, the median rank %.2f ms, and the others "
                    + "wait for it", comparison.rank, comparison.host, comparison.slowest, comparison.median))
    }
}
