import Collectives
import Datasets
import Layers

/// Steps without a finite loss and gradient. What the first in a row was given is kept for a person to look at.
final class SkippedSteps {
    /// So many in a row end the run.
    private static let most = 10

    /// In a row, up to now.
    private(set) var inARow = 0
    /// Who was to move in the first of them; later ones may go astray for its sake.
    private(set) var players: [ParameterGroup] = []
    private let kept: NonFiniteBatch
    private let ranks: any Ranks
    private let warn: (String) -> Void

    /// - Parameters:
    ///   - run: its directory.
    ///   - warn: called on the rank that has something to say.
    init(run: String, ranks: any Ranks, warn: @escaping (String) -> Void) {
        kept = NonFiniteBatch(run: run)
        self.ranks = ranks
        self.warn = warn
    }

    var areTooMany: Bool { inARow >= Self.most }

    /// Takes note of a step that was finite.
    func end() {
        if inARow > 1 && ranks.isFirst { warn("\(inARow) steps in a row were skipped, up to here") }
        inARow = 0
    }

    /// Takes note of one that wasn't. Collective.
    /// - Parameters:
    ///   - step: counted from 1.
    ///   - batch: of the pass that wasn't finite.
    ///   - players: who was to move in it.
    func add(step: Int, loss: Double, batch: some RankBatch, players: [ParameterGroup]) throws {
        inARow += 1
        guard inARow == 1 else { return }
        self.players = players
        let isKept = try ranks.gather(ranks.isFirst && kept.hasRoom ? 1 : 0)[0] == 1
        if isKept {
            let outcome = Result { try kept.write(step: step, rank: ranks.rank, batch) }
            if case .failure(let error) = outcome { warn("batch of step \(step) not kept: \(error)") }
        }
        guard ranks.isFirst else { return }
        warn(
            "step \(step) skipped, its loss \(loss) or a gradient is not finite"
                + (isKept
                    ? "; what it was given is in \(kept.folder(step))"
                    : "; what it was given is not kept, for \(kept.folder) has that of \(kept.limit) steps"))
    }
}
