import Collectives
import Datasets
import Layers

/// Steps without a finite loss and gradient. The batch of the first in a row is kept for a person to look at.
final class SkippedSteps {
    /// Number of skipped steps in a row that ends the run.
    private static let most = 10

    /// Number of skipped steps in a row, up to now.
    private(set) var inARow = 0
    /// The groups that were to move in the first of them, which may be the cause of the later ones.
    private(set) var players: [ParameterGroup] = []
    private let kept: NonFiniteBatch
    private let ranks: any Ranks
    private let warn: (String) -> Void

    /// - Parameters:
    ///   - run: its directory.
    ///   - warn: called on the rank that has something to report.
    init(run: String, ranks: any Ranks, warn: @escaping (String) -> Void) {
        kept = NonFiniteBatch(run: run)
        self.ranks = ranks
        self.warn = warn
    }

    var areTooMany: Bool { inARow >= Self.most }

    /// Takes note of a step that was finite.
    func end() {
        if inARow > 1 && ranks.isFirst { warn("\(inARow) steps in a row were skipped; the last step was finite again") }
        inARow = 0
    }

    /// Takes note of a step that was not finite. Collective.
    /// - Parameters:
    ///   - step: counted from 1.
    ///   - batch: of the pass that wasn't finite.
    ///   - players: the groups that were to move in it.
    func add(step: Int, loss: Double, batch: some RankBatch, players: [ParameterGroup]) throws {
        inARow += 1
        guard inARow == 1 else { return }
        self.players = players
        let isKept = try ranks.gather(ranks.isFirst && kept.hasRoom ? 1 : 0)[0] == 1
        if isKept {
            let outcome = Result { try kept.write(step: step, rank: ranks.rank, batch) }
            if case .failure(let error) = outcome { warn("the batch of step \(step) can't be kept: \(error)") }
        }
        guard ranks.isFirst else { return }
        warn(
            "step \(step) skipped, because its loss (\(loss)) or a gradient is not finite"
                + (isKept
                    ? "; its batch is kept in \(kept.folder(step))"
                    : "; its batch is not kept, because \(kept.folder) already holds those of \(kept.limit) steps"))
    }
}
