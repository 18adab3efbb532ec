import Collectives
import Foundation
import Layers
import Tensors

/// Gradients in pieces, last declared first: the order in which a backward pass finishes them, more or less. As soon as
/// a piece is finished on all ranks of this node, its owners start to sum theirs over nodes, while backward goes on.
///
/// Where there is one node, a piece is a parameter set, and all sums wait for the end: there is nothing to hide.
final class GradientBuckets {
    struct Bucket {
        /// Place of the parameter set.
        let set: Int
        /// Elements of the set.
        let range: Range<Int>
        /// Those of them that this rank owns.
        let slice: Range<Int>
    }

    let buckets: [Bucket]
    private let sets: [ParameterSet]
    /// Gradients of the ranks of the node, for each set.
    private let gradients: [[UnsafeMutablePointer<Float>]]
    private let node: any Node
    private let exchange: (any NodeExchange)?
    private let ranks: any Ranks
    private let timeline: Timeline?
    /// Elements that backward hasn't finished yet, of each bucket.
    private var missing: [Int]
    /// Buckets finished on this rank, in order; and of those, summed over the node.
    private var finished = 0
    private var summed = 0
    /// Buckets of earlier steps.
    private var past = 0
    private var isFinite = true

    /// Elements of a bucket at most: 4 MiB, large enough for the network's full speed.
    private static let largest = 1 << 20

    /// - Parameter gradients: of the ranks of the node, for each set.
    init(
        _ sets: [ParameterSet], gradients: [[UnsafeMutablePointer<Float>]], node: any Node, ranks: any Ranks,
        timeline: Timeline?
    ) {
        self.sets = sets
        self.gradients = gradients
        self.timeline = timeline
        self.node = node
        self.ranks = ranks
        exchange = node.exchange
        let largest = node.exchange == nil ? Int.max : Self.largest
        buckets = sets.indices.reversed().flatMap { set -> [Bucket] in
            let count = sets[set].count
            let edges = Array(stride(from: count, to: 0, by: -min(largest, max(count, 1)))) + [0]
            return zip(edges.dropFirst(), edges).map { start, end in
                let slice = node.slice(of: end - start)
                return Bucket(
                    set: set, range: start..<end, slice: start + slice.lowerBound..<start + slice.upperBound)
            }
        }
        missing = buckets.map(\.range.count)
    }

    /// What this rank owns of a set.
    func slices(of set: Int) -> [Range<Int>] { buckets.filter { $0.set == set }.map(\.slice) }

    /// Takes note of a gradient that backward won't change any more, and moves sums on that are under way; nil where
    /// nothing is gained by that.
    var take: ((Tensor) throws -> Void)? {
        exchange == nil ? nil : { [unowned self] in try self.take($0) }
    }

    private func take(_ gradient: Tensor) throws {
        for (place, bucket) in buckets.enumerated() where place >= finished {
            // Parameters start on cache lines, and the gaps between them count.
            let start = gradient.base - sets[bucket.set].gradients.base
            guard (0..<sets[bucket.set].count).contains(start) else { continue }
            missing[place] -= bucket.range.clamped(to: start..<start + (gradient.count + 15) / 16 * 16).count
        }
        while finished < buckets.count && missing[finished] == 0 { finished += 1 }
        _ = try timeline.measured("gradient sum over nodes", .communication, advance)
    }

    /// Sums what is finished on all ranks of the node, and moves the sums over nodes on. Returns whether all are done.
    private func advance() throws -> Bool {
        guard let exchange else { return true }
        exchange.announce(past + finished)
        let common = min(finished, exchange.announcedByAll - past)
        while summed < common {
            sumOverNode(buckets[summed])
            let slice = buckets[summed].slice
            try exchange.start(
                UnsafeMutableBufferPointer(rebasing: sets[buckets[summed].set].gradients.elements[slice]),
                index: summed)
            timeline?.count(bytes: 4 * slice.count)
            summed += 1
        }
        return try exchange.progress() && summed == buckets.count
    }

    private func sumOverNode(_ bucket: Bucket) {
        timeline.measured("gradient sum", .communication) {
            timeline?.count(bytes: 4 * bucket.slice.count * (gradients[bucket.set].count + 1))
            let own = sets[bucket.set].gradients.base
            if !setToSum(of: gradients[bucket.set], in: bucket.slice, own) { isFinite = false }
        }
    }

    /// Returns when this rank's slices hold the sums over all ranks, and whether these are finite. Every rank of the
    /// node has finished its gradients when it calls this.
    func finish() throws -> Bool {
        finished = buckets.count
        if exchange == nil {
            try ranks.waiting("meeting of the node", node.meet)
            for bucket in buckets { sumOverNode(bucket) }
        } else {
            try ranks.waiting("gradient sum over nodes") {
                while try !advance() { sched_yield() }
            }
            for bucket in buckets where !bucket.slice.isEmpty {
                let sums = sets[bucket.set].gradients.view(from: bucket.slice.lowerBound, shape: [bucket.slice.count])
                if !sums.isFinite { isFinite = false }
            }
        }
        defer {
            past += buckets.count
            (finished, summed, isFinite) = (0, 0, true)
            missing = buckets.map(\.range.count)
        }
        return isFinite
    }
}
