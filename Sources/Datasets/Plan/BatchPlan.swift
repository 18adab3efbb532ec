import Collectives
import Tensors

/// Which images make up the global batch of each step, and which of them are a rank's.
///
/// Letters: V virtual shards, B images a global batch, S steps an epoch, k the step within its epoch.
///
/// At step k, with a phase φ in 0..<V, shard s gives `floor(((s+1)B + φ)/V) - floor((sB + φ)/V)` images; over the
/// shards that adds up to B. Where V divides B it is B/V each. Elsewhere a fixed phase would favour the same shards
/// at every step; going through all phases makes every shard give exactly B in V steps, because the sum of
/// floor((x + φ)/V) over φ is x. They come in bit-reversed order (0, V/2, V/4, 3V/4, ...), which keeps shards within
/// a few images of each other at every step: in rising order some would lead by V/4, and an epoch of few steps would
/// always show more of the same shards. A shard's images come in the order of its own permutation of the epoch. So a
/// step's batch follows from the seed and the step alone, and any step can be had without those before it.
package struct BatchPlan: Sendable {
    package let shards: VirtualShards
    /// B, images in a global batch.
    package let batch: Int
    package let seed: UInt64
    /// S, the most steps in which no shard runs out, at least 1: within an epoch no image comes twice. Fewer than B
    /// images and what the shards' sizes differ by are left out of an epoch, others in each.
    package let stepsPerEpoch: Int

    /// Permutations of the epoch last asked for, by shard.
    private var orders: [Int: [Int32]] = [:]
    private var epochOfOrders = 0

    /// Throws when the batch is too large for one step.
    package init(shards: VirtualShards, batch: Int, seed: UInt64) throws {
        guard (1...shards.imageCount).contains(batch) else {
            throw InputError(
                "batch of \(batch), expected 1 to \(shards.imageCount), the images there are: --batch \(shards.imageCount)"
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
                "batch of \(batch) takes more than some of the \(count) virtual shards of \(shards.imageCount) images "
                    + "hold; the largest batch that always fits is \(safe): --batch \(safe)")
        }
    }

    package func epoch(ofStep step: Int) -> Int { step / stepsPerEpoch }

    /// How many images of the step's batch are this rank's; zero is possible when B < V.
    package func share(step: Int, rank: Int, worldSize: Int) -> Int {
        let owned = shards.owned(rank: rank, worldSize: worldSize)
        let phase = Self.phase(step % stepsPerEpoch, shards: shards.count)
        return (owned.upperBound * batch + phase) / shards.count - (owned.lowerBound * batch + phase) / shards.count
    }

    /// This rank's images of the step's batch, as numbers in the data set, in shard order. `step` counts from 0 over
    /// all epochs. The ranks' lists, in rank order, are the same list at any world size.
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

    /// Images that a shard gives in the first `steps` steps of an epoch: B for each full round of V steps, then a
    /// difference of sums of floor((x + φ)/V) over the phases φ of the steps that are left.
    private static func drawn(_ shard: Int, steps: Int, batch: Int, shards: Int) -> Int {
        let (rounds, left) = steps.quotientAndRemainder(dividingBy: shards)
        func sum(_ x: Int) -> Int {
            x / shards * left + phases(left, from: shards - x % shards, shards: shards)
        }
        return rounds * batch + sum((shard + 1) * batch) - sum(shard * batch)
    }

    /// How many of the first `count` phases are at least `threshold`, in 1...V.
    ///
    /// `count` falls into blocks of 2^j steps, one for each bit set in it; the phases of a block are evenly spaced by
    /// V/2^j, from an offset below that.
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
