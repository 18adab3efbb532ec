import Collectives

/// Ends the pass of a micro-batch at a batch norm whose sums aren't known yet.
package struct PassEnded: Error {}

/// Sums over a batch that passes through a network in micro-batches, for batch norms, which need those of the whole
/// batch.
///
/// In each round all micro-batches pass, up to the first batch norm whose sums aren't known. There the sums are added
/// up. So with L batch norms a forward pass takes L + 1 rounds, and only sums are kept between them.
package final class MicroBatchSums {
    private var known: [Int: [Double]] = [:]
    private var used: Set<Int> = []
    private var pending: (index: Int, scope: BatchNormScope, sums: [Double])?

    package init() {}

    package func knows(_ index: Int) -> Bool { known[index] != nil }

    /// The whole batch's sums at a batch norm, and whether this is their first use.
    /// - Parameter own: this micro-batch's sums.
    /// - Throws: `PassEnded` when they aren't known yet; the micro-batch's are then added up.
    func whole(_ index: Int, scope: BatchNormScope, own: () -> [Double]) throws -> (sums: [Double], isNew: Bool) {
        if let sums = known[index] { return (sums, used.insert(index).inserted) }
        let own = own()
        pending = (index, scope, pending.map { zip($0.sums, own).map(+) } ?? own)
        throw PassEnded()
    }

    /// To be called after the last micro-batch of a round. The sums that were added up become known. Returns true when
    /// there were none. Collective where the norm is.
    package func advance(over ranks: any Ranks) throws -> Bool {
        guard let pending else { return true }
        known[pending.index] = pending.scope == .sync ? try ranks.sum(pending.sums) : pending.sums
        self.pending = nil
        return false
    }
}
