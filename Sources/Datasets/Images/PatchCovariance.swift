import Collectives
import Tensors

/// The covariance of patches of 2x2 pixels of normalised images, around 0: the mean of x·xᵀ over patches x of 4C values.
/// Whitening filters are made from it.
///
/// It is that of at most `mostImages` images, evenly spaced in the data set, and of fewer if they are large.
enum PatchCovariance {
    /// Most channels. For more, the covariance would be too large.
    static let mostChannels = 64
    private static let mostImages = 4096
    private static let mostPatches = 1 << 22

    /// [4C, 4C], with the index (channel·2 + row)·2 + column in a patch; nil for images that are too narrow for a patch
    /// or have more than `mostChannels`. It has the same bits at any world size. Collective: outside `ranks.agree { }`.
    static func values(
        of dataset: ImageDataset, in shards: VirtualShards, normalisation: Normalisation, over ranks: any Ranks
    ) throws -> [Float]? {
        let shape = dataset.shape
        let patches = (shape.height - 1) * (shape.width - 1)
        guard patches > 0 && shape.channels <= mostChannels else { return nil }
        let count = max(1, min(shards.imageCount, mostImages, mostPatches / patches))
        let size = 4 * shape.channels
        let own = shards.owned(rank: ranks.rank, worldSize: ranks.worldSize).map { shard in
            var sums = [Double](repeating: 0, count: size * size)
            let images = (0..<count).map { $0 * shards.imageCount / count }.filter(
                shards.images(ofShard: shard).contains)
            var image = [Float](repeating: 0, count: shape.size)
            for index in images {
                image.withUnsafeMutableBufferPointer { image in
                    dataset.fill(image.baseAddress!, indices: [index], normalisation: normalisation)
                    sums.withUnsafeMutableBufferPointer {
                        addPatchProducts(
                            of: image.baseAddress!, height: shape.height, width: shape.width, channels: shape.channels,
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
        return total.map { Float($0 / Double(count * patches)) }
    }
}
