import Collectives
import Foundation
import Layers
import Tensors

/// Gradients in buckets, last declared first, roughly in the order in which a backward pass finishes them. As soon as a
/// bucket is finished on all ranks of this node, the owners of its slices start to sum them over nodes, while backward
/// continues.
///
/// With one node, a bucket is a whole group, and all sums wait for the end, because there is no network time to hide.
final class GradientBuckets {
    struct Bucket {
        /// Index of the group.
        let group: Int
        /// The bucket's elements of the group.
        let range: Range<Int>
        /// The elements that this rank owns.
        let slice: Range<Int>
    }

    /// Buckets of all groups. A group that follows another has buckets too, which say what each rank owns of it.
    private let all: [Bucket]
    /// Indices in `all` of the buckets that the present pass finishes, in order.
    private var expected: [Int] = []
    private let groups: [ParameterGroup]
    /// Gradients of each rank of the node, for each group.
    private let gradients: [[UnsafeMutablePointer<Float>]]
    private let node: any Node
    private let exchange: (any NodeExchange)?
    /// In which numbers gradients travel between nodes.
    private let precision: Precision
    private let ranks: any Ranks
    private let timeline: Timeline?
    /// Number of elements that backward hasn't finished yet, for each expected bucket.
    private var missing: [Int] = []
    /// Number of expected buckets finished on this rank, in order, and number of those summed over the node.
    private var finished = 0
    private var summed = 0
    /// Number of buckets of earlier passes.
    private var past = 0
    private var isFinite = true

    /// Most elements of a bucket: 4 MiB, large enough for the network's full speed.
    private static let largest = 1 << 20

    /// - Parameters:
    ///   - gradients: of each rank of the node, for each group.
    ///   - precision: in which numbers gradients travel between nodes.
    init(
        _ groups: [ParameterGroup], gradients: [[UnsafeMutablePointer<Float>]], node: any Node, ranks: any Ranks,
        precision: Precision, timeline: Timeline?
    ) {
        self.groups = groups
        self.gradients = gradients
        self.timeline = timeline
        self.node = node
        self.ranks = ranks
        exchange = node.exchange
        self.precision = precision
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

    /// The slices of a group that this rank owns. For a group that follows another they are the same as for that.
    func slices(of group: ParameterGroup) -> [Range<Int>] {
        all.filter { groups[$0.group] === group }.map(\.slice)
    }

    /// Announces whose gradients come next.
    /// - Returns: a function that takes note of a gradient that backward won't change any more, and moves present sums
    ///   on; nil where that gains nothing.
    func expect(_ players: [ParameterGroup]) -> ((Tensor) throws -> Void)? {
        expected = all.indices.filter { index in players.contains { $0 === groups[all[index].group] } }
        missing = expected.map { all[$0].range.count }
        return exchange == nil ? nil : { [unowned self] in try self.take($0) }
    }

    private func own(_ bucket: Bucket) -> Tensor { groups[bucket.group].parameters.gradients }

    private func take(_ gradient: Tensor) throws {
        for index in finished..<expected.count {
            let bucket = all[expected[index]]
            // Parameters start at cache lines, and the gaps between them count.
            let start = gradient.base - own(bucket).base
            guard (0..<own(bucket).count).contains(start) else { continue }
            missing[index] -= bucket.range.clamped(to: start..<start + (gradient.count + 15) / 16 * 16).count
        }
        while finished < expected.count && missing[finished] == 0 { finished += 1 }
        _ = try timeline.measured("gradient sum over nodes", .communication, advance)
    }

    /// Sums the buckets that all ranks of the node have finished, and moves the sums over nodes on. Returns whether all
    /// are done.
    private func advance() throws -> Bool {
        guard let exchange else { return true }
        exchange.announce(past + finished)
        let common = min(finished, exchange.announcedByAll - past)
        while summed < common {
            let bucket = all[expected[summed]]
            sumOverNode(bucket)
            try exchange.start(
                UnsafeMutableBufferPointer(rebasing: own(bucket).elements[bucket.slice]), index: expected[summed],
                in: precision)
            timeline?.count(bytes: precision.bytes * bucket.slice.count)
            summed += 1
        }
        return try exchange.progress() && summed == expected.count
    }

    private func sumOverNode(_ bucket: Bucket) {
        timeline.measured("gradient sum", .communication) {
            let sources = gradients[bucket.group]
            guard sources.count > 1 else {  // the sum is there; with an exchange, the sum over nodes is looked at
                timeline?.count(bytes: exchange == nil ? 4 * bucket.slice.count : 0)
                if exchange == nil && !isFinite(bucket) { isFinite = false }
                return
            }
            timeline?.count(bytes: 4 * bucket.slice.count * (sources.count + 1))
            if !setToSum(of: sources, in: bucket.slice, own(bucket).base) { isFinite = false }
        }
    }

    private func isFinite(_ bucket: Bucket) -> Bool {
        own(bucket).view(from: bucket.slice.lowerBound, shape: [bucket.slice.count]).isFinite
    }

    /// Waits until this rank's slices hold the sums over all ranks, and returns whether these are finite. A rank calls
    /// it when its gradients are finished.
    func finish() throws -> Bool {
        finished = expected.count
        if exchange == nil {
            try ranks.waiting("meeting of the node", node.meet)
            for index in expected { sumOverNode(all[index]) }
        } else {
            try ranks.waiting("gradient sum over nodes") {
                while try !advance() { sched_yield() }
            }
            for bucket in expected.map({ all[$0] }) where !bucket.slice.isEmpty {
                if !isFinite(bucket) { isFinite = false }
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
