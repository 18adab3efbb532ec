import Collectives

/// Ends the pass of a piece at a batch norm whose sums aren't known yet.
package struct PassEnded: Error {}

/// Sums over a batch that passes through a network in pieces, for batch norms that need those of the whole batch.
///
/// In each round all pieces pass, as far as the first place whose sums aren't known: there they are added up. So with
/// L batch norms a forward pass takes L + 1 rounds, and nothing but sums is kept between them.
package final class PiecewiseSums {
    private var known: [Int: [Double]] = [:]
    private var used: Set<Int> = []
    private var pending: (place: Int, scope: BatchNormScope, sums: [Double])?

    package init() {}

    package func knows(_ place: Int) -> Bool { known[place] != nil }

    /// The whole batch's sums at a place, and whether this is their first use.
    /// - Parameter own: this piece's.
    /// - Throws: `PassEnded` when they aren't known yet; the piece's are taken in.
    func whole(_ place: Int, scope: BatchNormScope, own: () -> [Double]) throws -> (sums: [Double], isNew: Bool) {
        if let sums = known[place] { return (sums, used.insert(place).inserted) }
        let own = own()
        pending = (place, scope, pending.map { zip($0.sums, own).map(+) } ?? own)
        throw PassEnded()
    }

    /// Behind the last piece of a round: makes the sums known that it has added up. True when there were none.
    /// Collective where the norm is.
    package func advance(over ranks: any Ranks) throws -> Bool {
        guard let pending else { return true }
        known[pending.place] = pending.scope == .sync ? try ranks.sum(pending.sums) : pending.sums
        self.pending = nil
        return false
    }
}
