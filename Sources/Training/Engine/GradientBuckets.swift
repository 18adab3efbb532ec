import Collectives
import Foundation
import Layers
import Tensors

/// Gradients in pieces, last declared first: the order in which a backward pass finishes them, more or less. As soon as
/// a piece is finished on all ranks of this node, its owners start to sum theirs over nodes, while backward goes on.
///
/// Where there is one node, a piece is a whole group, and all sums wait for the end: there is nothing to hide.
final class GradientBuckets {
    struct Bucket {
        /// Place of the group.
        let group: Int
        /// Elements of the group.
        let range: Range<Int>
        /// Those of them that this rank owns.
        let slice: Range<Int>
    }

    /// Of all groups; those that follow another have some too, for what a rank owns of them.
    private let all: [Bucket]
    /// Places in `all` of those that the pass under way finishes, in order.
    private var expected: [Int] = []
    private let groups: [ParameterGroup]
    /// Gradients of the ranks of the node, for each group.
    private let gradients: [[UnsafeMutablePointer<Float>]]
    private let node: any Node
    private let exchange: (any NodeExchange)?
    private let ranks: any Ranks
    private let timeline: Timeline?
    /// Elements that backward hasn't finished yet, of each expected bucket.
    private var missing: [Int] = []
    /// Expected buckets finished on this rank, in order; and of those, summed over the node.
    private var finished = 0
    private var summed = 0
    /// Buckets of earlier passes.
    private var past = 0
    private var isFinite = true

    /// Elements of a bucket at most: 4 MiB, large enough for the network's full speed.
    private static let largest = 1 << 20

    /// - Parameter gradients: of the ranks of the node, for each group.
    init(
        _ groups: [ParameterGroup], gradients: [[UnsafeMutablePointer<Float>]], node: any Node, ranks: any Ranks,
        timeline: Timeline?
    ) {
        self.groups = groups
        self.gradients = gradients
        self.timeline = timeline
        self.node = node
        self.ranks = ranks
        exchange = node.exchange
        let largest = node.exchange == nil ? Int.max : Self.largest
        all = groups.indices.reversed().flatMap { group -> [Bucket] in
            let count = groups[group].count
            let edges = Array(stride(from: count, to: 0, by: -min(largest, max(count, 1)))) + [0]
            return zip(edges.dropFirst(), edges).map { start, end in
                let slice = node.slice(of: end - start)
                return Bucket(
                    group: group, range: start..<end, slice: start + slice.lowerBound..<start + slice.upperBound)
            }
        }
    }

    /// What this rank owns of a group. Of one that follows another it is the same as of that.
    func slices(of group: ParameterGroup) -> [Range<Int>] {
        all.filter { groups[$0.group] === group }.map(\.slice)
    }

    /// Says whose gradients come next.
    /// - Returns: what takes note of a gradient that backward won't change any more, and moves sums on that are under
    ///   way; nil where nothing is gained by that.
    func expect(_ players: [ParameterGroup]) -> ((Tensor) throws -> Void)? {
        expected = all.indices.filter { place in players.contains { $0 === groups[all[place].group] } }
        missing = expected.map { all[$0].range.count }
        return exchange == nil ? nil : { [unowned self] in try self.take($0) }
    }

    private func own(_ bucket: Bucket) -> Tensor { groups[bucket.group].parameters.gradients }

    private func take(_ gradient: Tensor) throws {
        for place in finished..<expected.count {
            let bucket = all[expected[place]]
            // Parameters start on cache lines, and the gaps between them count.
            let start = gradient.base - own(bucket).base
            guard (0..<own(bucket).count).contains(start) else { continue }
            missing[place] -= bucket.range.clamped(to: start..<start + (gradient.count + 15) / 16 * 16).count
        }
        while finished < expected.count && missing[finished] == 0 { finished += 1 }
        _ = try timeline.measured("gradient sum over nodes", .communication, advance)
    }

    /// Sums what is finished on all ranks of the node, and moves the sums over nodes on. Returns whether all are done.
    private func advance() throws -> Bool {
        guard let exchange else { return true }
        exchange.announce(past + finished)
        let common = min(finished, exchange.announcedByAll - past)
        while summed < common {
            let bucket = all[expected[summed]]
            sumOverNode(bucket)
            try exchange.start(
                UnsafeMutableBufferPointer(rebasing: own(bucket).elements[bucket.slice]), index: expected[summed])
            timeline?.count(bytes: 4 * bucket.slice.count)
            summed += 1
        }
        return try exchange.progress() && summed == expected.count
    }

    private func sumOverNode(_ bucket: Bucket) {
        timeline.measured("gradient sum", .communication) {
            timeline?.count(bytes: 4 * bucket.slice.count * (gradients[bucket.group].count + 1))
            if !setToSum(of: gradients[bucket.group], in: bucket.slice, own(bucket).base) { isFinite = false }
        }
    }

    /// Returns when this rank's slices hold the sums over all ranks, and whether these are finite. Every rank of the
    /// node has finished its gradients when it calls this.
    func finish() throws -> Bool {
        finished = expected.count
        if exchange == nil {
            try ranks.waiting("meeting of the node", node.meet)
            for place in expected { sumOverNode(all[place]) }
        } else {
            try ranks.waiting("gradient sum over nodes") {
                while try !advance() { sched_yield() }
            }
            for bucket in expected.map({ all[$0] }) where !bucket.slice.isEmpty {
                let sums = own(bucket).view(from: bucket.slice.lowerBound, shape: [bucket.slice.count])
                if !sums.isFinite { isFinite = false }
            }
        }
        defer {
            past += expected.count
            (finished, summed, isFinite) = (0, 0, true)
            expected = []
        }
        return isFinite
    }
}
