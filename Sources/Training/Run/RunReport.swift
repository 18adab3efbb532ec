import Collectives
import Datasets
import Foundation

/// The report of a run's steps: lines of metrics, the line on the terminal, and warnings of slow ranks.
final class RunReport {
    private let ranks: any Ranks
    private let plan: BatchPlan
    private let drawsPerStep: Int
    /// On rank 0.
    private let journal: Journal?
    private let progress: Progress
    private let slowRanks: SlowRanks
    private let warn: (String) -> Void
    private var before: Double
    private var collapse = CollapseWatch()
    private var reportedSlowRanks: Set<Int> = []
    /// The last problem with the journal that was reported.
    private var reportedProblem: String?

    /// Collective.
    /// - Parameters:
    ///   - run: its directory.
    ///   - start: the first step, counted from 0, of `steps`.
    ///   - warn: called on rank 0.
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
            warn(
                "removed \(broken) broken line\(broken == 1 ? "" : "s") from \(run)/metrics.jsonl, which a killed "
                    + "run left there")
        }
        progress = Progress(steps: steps, from: start, isTerminal: isTerminal)
        slowRanks = SlowRanks(activity, hosts: hosts, ranks: ranks)
        before = progress.seconds
    }

    /// This rank's vote of a step: whether it is time to compare the ranks' computing times.
    var wantsComparison: Bool { slowRanks.isDue }

    /// Takes note of a step, counted from 0. Collective where `isCompared`.
    /// - Parameter samples: number of samples in the step's batches, of this rank and of all ranks.
    func note(
        step: Int, _ terms: LossTerms, rate: Double?, samples: (own: Int, total: Int), isCompared: Bool
    ) throws {
        slowRanks.endStep(images: samples.own)
        let comparison = isCompared ? try slowRanks.compare() : nil
        guard ranks.isFirst else { return }
        let now = progress.seconds
        let epoch = plan.epoch(ofStep: step * drawsPerStep)
        for line in collapse.lines(step: step + 1, epoch: epoch, terms) { warn(line) }
        try journal?.note(
            Metric(
                step: step + 1, epoch: epoch, terms: terms, rate: rate,
                imagesPerSecond: Double(samples.total) / max(now - before, 1e-9), seconds: now, computing: comparison))
        before = now
        if let problem = journal?.problem, problem != reportedProblem { warn("\(problem); training goes on") }
        reportedProblem = journal?.problem
        if let comparison, comparison.isSlow { warnOfSlow(comparison) }
        progress.show(step: step + 1, loss: terms.loss, images: samples.total)
    }

    /// To be called after the last step.
    func end(isInterrupted: Bool) {
        journal?.flush()
        if isInterrupted { progress.end() }
    }

    private func warnOfSlow(_ comparison: SlowRanks.Comparison) {
        guard reportedSlowRanks.insert(comparison.rank).inserted else { return }
        warn(
            String(
                format:
                    "rank %ld on %@ is slow: it computes %.2f ms an image, the median rank %.2f ms; the others wait "
                    + "for it", comparison.rank, comparison.host, comparison.slowest, comparison.median))
    }
}
