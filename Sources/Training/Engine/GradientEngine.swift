import Collectives
import Layers
import Tensors

/// Sums a model's gradients over ranks and updates its parameters.
///
/// The ranks of a node share memory: one copy of parameters and of the update rules' arrays, and the gradients of each
/// rank. Each rank sums and updates its own slices. So a gradient is read once and a parameter written once, by one
/// rank, and the ranks of a node divide the work of the update. Between nodes, the owners of a slice sum it over the
/// network while backward still runs.
package final class GradientEngine {
    /// What the user should know of how these ranks sum gradients, a line each.
    package var notes: [String] { [node.note, exchangeNote].compactMap { $0 } }
    private let node: any Node
    private let ranks: any Ranks
    private let timeline: Timeline?
    private let store: ParameterStore
    private let exchange: Precision
    private let buckets: GradientBuckets

    /// Moves parameters, gradients and moments into the node's shared memory. Collective.
    /// - Parameter exchange: in which numbers gradients travel between nodes.
    package init(_ store: ParameterStore, ranks: any Ranks, exchange: Precision) throws {
        let device = store.device
        let groups = store.groups
        let node = try ranks.node(
            sharing: 4 * groups.reduce(0) { $0 + (1 + $1.slots.count) * $1.count },
            each: 4 * groups.reduce(0) { $0 + $1.parameters.gradients.count })
        self.node = node
        self.ranks = ranks
        self.store = store
        self.exchange = exchange
        timeline = device.timeline
        let gradients = try groups.map { $0.rule.hasGradient ? try node.memory($0.count) : [] }
        buckets = GradientBuckets(
            groups, gradients: gradients.map { $0.map { $0.baseAddress! } }, node: node, ranks: ranks,
            precision: exchange, timeline: device.timeline)
        for (index, group) in groups.enumerated() {
            let (count, arrays) = (group.count, [group.parameters.values] + group.slots)
            let shared = try node.memory(node.index == 0 ? arrays.count * count : 0)[0]
            device.memory.countForeign(
                bytes: 4 * ((node.index == 0 ? arrays.count * count : 0) + group.parameters.gradients.count))
            let copies = arrays.enumerated().map { kind, old in
                let new = device.tensor([count], at: shared.baseAddress! + kind * count, of: node)
                for slice in buckets.slices(of: group) {
                    (new.base + slice.lowerBound).update(from: old.base + slice.lowerBound, count: slice.count)
                }
                return new
            }
            let own =
                group.rule.hasGradient
                ? device.tensor([count], at: gradients[index][node.index].baseAddress!, of: node) : nil
            group.move(values: copies[0], gradients: own, slots: Array(copies.dropFirst()))
        }
        device.memory.trim()  // of the arrays that were moved
        try ranks.waiting("meeting of the node", node.meet)
    }

    private var exchangeNote: String? {
        switch exchange {
        case .float32: nil
        case .bfloat16 where node.nodes == 1:
            "exchange is bfloat16, which has no effect on one node: gradients are rounded only between nodes"
        case .bfloat16:
            "exchange is bfloat16: gradients are rounded between the \(node.nodes) nodes, so the result depends on the "
                + "number of nodes (the law of ranks doesn't hold)"
        }
    }

    /// Announces whose gradients come next: those of the players of a pass.
    /// - Returns: the argument `finished` of `Pass.backward`. It takes a finished gradient and starts to sum it over
    ///   nodes while backward continues; nil where that gains nothing.
    package func expect(_ players: [ParameterGroup]) -> ((Tensor) throws -> Void)? { buckets.expect(players) }

    /// Sums the gradients, and moves the players and the groups that follow them once, unless the loss or a gradient
    /// isn't finite. Collective; the result is the same on every rank.
    ///
    /// - Parameters:
    ///   - players: the same as for `expect`.
    ///   - terms: this rank's parts; on return, the sums over ranks.
    ///   - votes: numbers to sum over ranks in the same call.
    ///   - step: counted from 0, of a run of `steps`.
    package func update(
        _ players: [ParameterGroup], _ terms: inout LossTerms, votes: [Double] = [], at step: Int, of steps: Int
    ) throws -> (isFinite: Bool, votes: [Double]) {
        var isFinite = try buckets.finish()
        // Each slice counts once, though every node has an owner of it.
        let norms = players.map { group in
            group.normSums(in: buckets.slices(of: group)).map { node.standsForOwners ? $0 : 0 }
        }
        let sums = try ranks.sum(terms.values + votes + [isFinite ? 0 : 1] + norms.flatMap { $0 })
        let verdict = terms.values.count + votes.count
        terms.values = Array(sums[..<terms.values.count])
        isFinite = sums[verdict] == 0 && terms.values.allSatisfy(\.isFinite)
        if isFinite {
            var wholeNorms = sums[(verdict + 1)...]
            for (index, group) in (players + store.followers(of: players)).enumerated() {
                let slices = buckets.slices(of: group)
                let count = index < norms.count ? norms[index].count : 0
                let own = Array(wholeNorms.prefix(count))
                wholeNorms = wholeNorms.dropFirst(count)
                timeline.measured(group.rule.name, .optimiser) {
                    timeline?.count(bytes: 4 * group.rule.arraysMoved * slices.reduce(0) { $0 + $1.count })
                    group.update(at: step, of: steps, sums: own, in: slices)
                }
            }
            try ranks.waiting("meeting of the node", node.meet)
        }
        return (isFinite, Array(sums[terms.values.count..<verdict]))
    }

    /// The parameters and moments that this rank writes to a checkpoint: its own slices, if its node is the one that
    /// writes them. Each slice is written by exactly one rank.
    var ownedRegions: [UnsafeMutableBufferPointer<Float>] {
        guard node.standsForOwners else { return [] }
        return store.groups.flatMap { group in
            ([group.parameters.values] + group.slots).flatMap { flat in
                buckets.slices(of: group).map { UnsafeMutableBufferPointer(rebasing: flat.elements[$0]) }
            }
        }
    }
}
