import Collectives
import Tensors

/// The covariance of patches of 2x2 pixels of normalised images, around 0: the mean of x·xᵀ over patches x of 4C values.
/// Whitening filters are made from it.
///
/// It is that of at most `mostImages` images, evenly spaced in the data set. Of large images it takes some rows of patches,
/// evenly spaced too.
enum PatchCovariance {
    /// Most channels. For more, the covariance would be too large.
    static let mostChannels = 16
    private static let mostImages = 4096
    /// Most products of two values, over all patches and ranks.
    private static let mostProducts = 1 << 34

    /// [4C, 4C], with the index (channel·2 + row)·2 + column in a patch; nil for images that are too narrow for a patch
    /// or have more than `mostChannels`. It has the same bits at any world size. Collective: outside `ranks.agree { }`.
    static func values(
        of dataset: ImageDataset, in shards: VirtualShards, normalisation: Normalisation, over ranks: any Ranks
    ) throws -> [Float]? {
        let shape = dataset.shape
        guard shape.height > 1 && shape.width > 1 && shape.channels <= mostChannels else { return nil }
        let count = min(shards.imageCount, mostImages)
        let size = 4 * shape.channels
        let rowCount = max(1, min(shape.height - 1, mostProducts / (count * (shape.width - 1) * size * size)))
        let rows = (0..<rowCount).map { $0 * (shape.height - 1) / rowCount }
        let picked = (0..<count).map { $0 * shards.imageCount / count }  // rising
        let owned = shards.owned(rank: ranks.rank, worldSize: ranks.worldSize)
        let own = owned.compactMap { shard -> (shard: Int, sums: [Double])? in
            let range = shards.images(ofShard: shard)
            // The first that is picked at or after a number is about number·count/imageCount.
            let first = range.lowerBound * count / shards.imageCount
            let images = picked[first...].prefix { $0 < range.upperBound }.filter { $0 >= range.lowerBound }
            guard !images.isEmpty else { return nil }
            var sums = [Double](repeating: 0, count: size * size)
            var image = [Float](repeating: 0, count: shape.size)
            for index in images {
                image.withUnsafeMutableBufferPointer { image in
                    dataset.fill(image.baseAddress!, indices: [index], normalisation: normalisation)
                    sums.withUnsafeMutableBufferPointer {
                        addPatchProducts(
                            of: image.baseAddress!, rows: rows, width: shape.width, channels: shape.channels,
                            to: $0.baseAddress!)
                    }
                }
            }
            return (shard: shard, sums: sums)
        }
        let total = try shards.total(width: size * size, over: ranks) { columns, sums in
            for (shard, numbers) in own {
                for column in columns {
                    sums[shard * columns.count + column - columns.lowerBound] = numbers[column]
                }
            }
        }
        return total.map { Float($0 / Double(count * rowCount * (shape.width - 1))) }
    }
}
