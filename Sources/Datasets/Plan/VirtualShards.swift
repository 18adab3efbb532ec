import Collectives

/// The data set in consecutive shards of nearly equal size. Batches draw from the shards, not from the ranks, so that
/// no batch depends on the number of ranks.
///
/// Shard s of V holds the images `floor(s*count/V) ..< floor((s+1)*count/V)`.
/// Rank r of P owns the shards `floor(r*V/P) ..< floor((r+1)*V/P)`, hence consecutive images.
package struct VirtualShards: Equatable, Sendable {
    /// Most shards; more would only give shards of few images.
    package static let largest = 1 << 16

    /// Images in the data set.
    package let imageCount: Int
    /// V, a power of two, at most `imageCount`.
    package let count: Int

    /// - Parameters:
    ///   - imageCount: at least 1.
    ///   - count: V; nil takes 64, or the largest power of two that is at most `imageCount` if that is less.
    package init(imageCount: Int, count: Int? = nil) throws {
        guard (1...ImageSource.largestCount).contains(imageCount) else {
            throw InputError("the data have \(imageCount) images, expected 1 to \(ImageSource.largestCount)")
        }
        let count = count ?? min(64, Self.powerOfTwo(atMost: imageCount))
        let limit = min(Self.largest, Self.powerOfTwo(atMost: imageCount))
        guard count >= 1, count <= limit, count.nonzeroBitCount == 1 else {
            throw InputError(
                "data.virtualShards is \(count): for \(imageCount) images it must be a power of two from 1 to "
                    + "\(limit); use --set data.virtualShards=\(min(64, limit))")
        }
        self.imageCount = imageCount
        self.count = count
    }

    /// The images of one shard.
    package func images(ofShard shard: Int) -> Range<Int> {
        shard * imageCount / count..<(shard + 1) * imageCount / count
    }

    /// Throws when there are more ranks than shards.
    package func check(worldSize: Int) throws {
        guard worldSize > count else { return }
        let limit = min(Self.largest, Self.powerOfTwo(atMost: imageCount))
        let advice =
            worldSize <= limit
            ? "use --set data.virtualShards=\(Self.powerOfTwo(atMost: 2 * worldSize - 1))"
            : "start at most \(limit) ranks for these \(imageCount) images"
        throw InputError(
            "there are \(worldSize) ranks but only \(count) virtual shards, and each rank needs one: \(advice)")
    }

    /// The shards of one rank. Call `check(worldSize:)` first.
    package func owned(rank: Int, worldSize: Int) -> Range<Int> {
        precondition((1...count).contains(worldSize) && (0..<worldSize).contains(rank), "rank \(rank) of \(worldSize)")
        return rank * count / worldSize..<(rank + 1) * count / worldSize
    }

    /// The images of one rank, at least one. Call `check(worldSize:)` first.
    package func ownedImages(rank: Int, worldSize: Int) -> Range<Int> {
        let shards = owned(rank: rank, worldSize: worldSize)
        return images(ofShard: shards.lowerBound).lowerBound..<images(ofShard: shards.upperBound - 1).upperBound
    }

    /// Sums that ranks exchange at a time.
    private static let block = 1 << 20

    /// The sum over shards of `width` numbers each. It has the same bits at any world size, because the shards' numbers
    /// are added in order. Collective.
    /// - Parameter addOwn: adds this rank's shards' numbers in `columns` to `sums`, [shards, columns.count] of zeros.
    func total(
        width: Int, over ranks: any Ranks, addOwn: (_ columns: Range<Int>, _ sums: inout [Double]) -> Void
    ) throws -> [Double] {
        var totals = [Double](repeating: 0, count: width)
        let step = max(1, Self.block / count)
        for start in stride(from: 0, to: width, by: step) {
            let columns = start..<min(start + step, width)
            // One rank has a shard's sums, the others zeros, so adding them is exact.
            var sums = [Double](repeating: 0, count: count * columns.count)
            addOwn(columns, &sums)
            sums = try ranks.sum(sums)
            for shard in 0..<count {
                for column in columns { totals[column] += sums[shard * columns.count + column - start] }
            }
        }
        return totals
    }

    private static func powerOfTwo(atMost limit: Int) -> Int { 1 << (Int.bitWidth - 1 - limit.leadingZeroBitCount) }
}
