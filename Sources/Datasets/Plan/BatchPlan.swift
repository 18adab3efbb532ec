import Collectives
import Tensors

/// The images of the global batch of each step, and those that each rank has.
///
/// Letters: V virtual shards, B images in a global batch, S steps in an epoch, k the step within its epoch.
///
/// At step k, with a phase φ in 0..<V, shard s gives `floor(((s+1)B + φ)/V) - floor((sB + φ)/V)` images. Over all
/// shards the sum is B. Where V divides B, each shard gives B/V. Elsewhere a fixed phase would favour the same shards
/// at every step. With all phases in turn, every shard gives exactly B in V steps, because the sum of floor((x + φ)/V)
/// over φ is x. The phases come in bit-reversed order (0, V/2, V/4, 3V/4, ...), which keeps shards within a few images
/// of each other at every step. In rising order some would lead by V/4, and an epoch of few steps would always show
/// more of the same shards. A shard's images come in the order of its permutation for the epoch. So a step's batch
/// depends on the seed and the step alone, and can be computed without the steps before.
package struct BatchPlan: Sendable {
    package let shards: VirtualShards
    /// B, images in a global batch.
    package let batch: Int
    package let seed: UInt64
    /// S, the most steps in which no shard runs out, at least 1. Within an epoch no image comes twice. An epoch leaves
    /// out fewer than B images plus the differences of the shards' sizes, and each epoch leaves out others.
    package let stepsPerEpoch: Int

    /// Permutations of the last used epoch, by shard.
    private var orders: [Int: [Int32]] = [:]
    private var epochOfOrders = 0

    /// Throws when the batch is too large for one step.
    package init(shards: VirtualShards, batch: Int, seed: UInt64) throws {
        guard (1...shards.imageCount).contains(batch) else {
            throw InputError(
                "batch is \(batch): it must be 1 to \(shards.imageCount), the number of images; use --batch "
                    + "\(shards.imageCount)"
            )
        }
        self.shards = shards
        self.batch = batch
        self.seed = seed
        let (batchSize, count) = (batch, shards.count)
        // Bisection: the shards' draws grow with the number of steps.
        var (fits, tooMany) = (0, shards.imageCount / batch + 1)
        while tooMany - fits > 1 {
            let middle = (fits + tooMany) / 2
            let isEnough = (0..<count).allSatisfy {
                Self.drawn($0, steps: middle, batch: batchSize, shards: count) <= shards.images(ofShard: $0).count
            }
            if isEnough { fits = middle } else { tooMany = middle }
        }
        stepsPerEpoch = fits
        guard stepsPerEpoch >= 1 else {
            let safe = shards.imageCount / count * count
            throw InputError(
                "batch is \(batch): it takes more images than some of the \(count) virtual shards of "
                    + "\(shards.imageCount) images hold; use --batch \(safe), the largest that always fits")
        }
    }

    package func epoch(ofStep step: Int) -> Int { step / stepsPerEpoch }

    /// Number of images of the step's batch that a rank has. It may be 0 when B < V.
    package func share(step: Int, rank: Int, worldSize: Int) -> Int {
        let owned = shards.owned(rank: rank, worldSize: worldSize)
        let phase = Self.phase(step % stepsPerEpoch, shards: shards.count)
        return (owned.upperBound * batch + phase) / shards.count - (owned.lowerBound * batch + phase) / shards.count
    }

    /// Indices in the data set of a rank's images of the step's batch, in shard order. `step` counts from 0 over all
    /// epochs. The ranks' lists, joined in rank order, are the same at any world size.
    package mutating func indices(step: Int, rank: Int, worldSize: Int) -> [Int] {
        precondition(step >= 0, "step \(step)")
        let (epoch, k) = step.quotientAndRemainder(dividingBy: stepsPerEpoch)
        if epoch != epochOfOrders {
            orders.removeAll(keepingCapacity: true)
            epochOfOrders = epoch
        }
        var result: [Int] = []
        for shard in shards.owned(rank: rank, worldSize: worldSize) {
            let start = Self.drawn(shard, steps: k, batch: batch, shards: shards.count)
            let end = Self.drawn(shard, steps: k + 1, batch: batch, shards: shards.count)
            if start == end { continue }
            let images = shards.images(ofShard: shard)
            let order = order(ofShard: shard, size: images.count)
            for position in start..<end { result.append(images.lowerBound + Int(order[position])) }
        }
        return result
    }

    private mutating func order(ofShard shard: Int, size: Int) -> [Int32] {
        if let order = orders[shard] { return order }
        var stream = RandomStream(seed: seed, purpose: .permutation, step: epochOfOrders, sample: shard)
        let order = stream.permutation(of: size)
        orders[shard] = order
        return order
    }

    /// φ of the k-th step of an epoch: the bits of k mod V in reverse.
    private static func phase(_ k: Int, shards: Int) -> Int {
        var (phase, rest, weight) = (0, k % shards, shards / 2)
        while rest > 0 {
            if rest & 1 == 1 { phase += weight }
            rest >>= 1
            weight >>= 1
        }
        return phase
    }

    /// Number of images that a shard gives in the first `steps` steps of an epoch: B for each full round of V steps,
    /// plus a difference of sums of floor((x + φ)/V) over the phases φ of the remaining steps.
    private static func drawn(_ shard: Int, steps: Int, batch: Int, shards: Int) -> Int {
        let (rounds, left) = steps.quotientAndRemainder(dividingBy: shards)
        func sum(_ x: Int) -> Int {
            x / shards * left + phases(left, from: shards - x % shards, shards: shards)
        }
        return rounds * batch + sum((shard + 1) * batch) - sum(shard * batch)
    }

    /// Number of the first `count` phases that are at least `threshold`, in 1...V.
    ///
    /// `count` consists of blocks of 2^j steps, one for each of its set bits. The phases of a block are evenly spaced
    /// by V/2^j, from an offset below that.
    private static func phases(_ count: Int, from threshold: Int, shards: Int) -> Int {
        var (total, offset) = (0, 0)
        var (size, spacing) = (shards / 2, 2)
        while size > 0 {
            if count & size != 0 {
                total += size - max(0, (threshold - offset + spacing - 1) / spacing)
                offset += spacing / 2
            }
            size >>= 1
            spacing <<= 1
        }
        return total
    }
}
