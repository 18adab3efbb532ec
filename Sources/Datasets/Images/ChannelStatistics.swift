import Collectives

/// Statistics of all images of a data set, by channel.
package struct ChannelStatistics {
    package let normalisation: Normalisation
    /// Indices of channels that have only one value, rising.
    package let constants: [Int]

    /// Statistics of the whole data set, of which each rank holds the images of its shards. Collective: outside
    /// `ranks.agree { }`.
    ///
    /// They have the same bits at any world size. For bytes, ranks sum the number of times that each value occurs,
    /// which Double holds exactly up to 2^53 (9 petabytes a channel). The totals determine all else. For floats, each
    /// shard is summed by the rank that holds it, and the sums of shards are added in order.
    /// - Parameter progress: called now and then, because a mapped set may be larger than memory. Floats are read at
    ///   least three times.
    package init(
        of dataset: ImageDataset, in shards: VirtualShards, over ranks: any Ranks,
        progress: ImageRequest.Progress? = nil
    ) throws {
        let channels = dataset.shape.channels
        switch dataset.pixels {
        case .bytes(let pixels):
            self.init(valueCounts: try ranks.sum(Self.valueCounts(pixels, dataset.shape, progress)))
        case .floats(let values):
            let rounding = dataset.scale?.rounding ?? Array(repeating: 0, count: channels)
            let constants = try constantColumns(of: values, columns: channels, rounding: rounding, ranks: ranks)
            let sums = ShardSums(values, dataset.shape, shards, ranks, progress)
            let count = Double(dataset.count * dataset.shape.height * dataset.shape.width)
            var (mean, deviation) = try Self.moments(sums, count: count, ranks)
            if let scale = dataset.scale {
                for channel in 0..<channels {
                    mean[channel] = scale.centre[channel] + scale.unit[channel] * mean[channel]
                    deviation[channel] *= scale.unit[channel]
                }
            }
            for channel in constants { deviation[channel] = 1 }
            self.init(normalisation: Normalisation(mean: mean, deviation: deviation), constants: constants)
        }
    }

    private init(normalisation: Normalisation, constants: [Int]) {
        (self.normalisation, self.constants) = (normalisation, constants)
    }

    private static func moments(
        _ sums: ShardSums, count: Double, _ ranks: any Ranks
    ) throws -> (mean: [Double], deviation: [Double]) {
        let centre = try sums.total(over: ranks) { value, _ in value }.map { $0 / count }
        let variance = try sums.total(over: ranks) { value, channel in
            (value - centre[channel]) * (value - centre[channel])
        }.map { $0 / count }
        return (centre, variance.map { $0.squareRoot() })
    }

    /// `[channels, 256]`: number of times that each value occurs.
    private static func valueCounts(
        _ pixels: StoredValues<UInt8>, _ shape: ImageShape, _ progress: ImageRequest.Progress?
    ) -> [Int] {
        let channels = shape.channels
        var counts = [Int](repeating: 0, count: 256 * channels)
        counts.withUnsafeMutableBufferPointer { counts in
            pixels.withUnsafeBufferPointer { pixels in
                for image in stride(from: 0, to: pixels.count, by: shape.size) {
                    progress?(.counting, image / shape.size, pixels.count / shape.size)
                    for start in stride(from: image, to: image + shape.size, by: channels) {
                        for channel in 0..<channels { counts[256 &* channel &+ Int(pixels[start &+ channel])] &+= 1 }
                    }
                }
            }
        }
        return counts
    }

    /// - Parameter valueCounts: `[channels, 256]`, number of times that each value occurs; at least one in each
    ///   channel.
    init(valueCounts: [Int]) {
        var (mean, deviation): ([Double], [Double]) = ([], [])
        var constants: [Int] = []
        for start in stride(from: 0, to: valueCounts.count, by: 256) {
            let counts = valueCounts[start..<start + 256].map(Double.init)
            let total = counts.reduce(0, +)
            var centre = 0.0
            for (value, count) in counts.enumerated() { centre += count * Double(value) }
            centre /= total
            var variance = 0.0
            for (value, count) in counts.enumerated() {
                let distance = Double(value) - centre
                variance += count * distance * distance
            }
            variance /= total
            let isConstant = counts.count { $0 > 0 } == 1
            if isConstant { constants.append(start / 256) }
            mean.append(centre / 255)
            deviation.append(isConstant ? 1 : variance.squareRoot() / 255)
        }
        self.init(normalisation: Normalisation(mean: mean, deviation: deviation), constants: constants)
    }

    /// A remark on constant channels (or columns of vectors); nil where all vary.
    func remark(on shape: ImageShape) -> String? {
        let noun = shape.isVector ? "column" : "channel"
        return constantsRemark(constants, of: shape.channels, noun: noun)
    }
}

/// Sums over all pixels by channel, whose bits don't depend on which ranks hold which shards.
private struct ShardSums {
    private let values: StoredValues<Float>
    private let progress: ImageRequest.Progress?
    private let area: Int
    private let channels: Int
    private let shards: VirtualShards
    /// Shards held here, each with the range of its pixels in `values`.
    private let own: [(shard: Int, pixels: Range<Int>)]

    init(
        _ values: StoredValues<Float>, _ shape: ImageShape, _ shards: VirtualShards, _ ranks: any Ranks,
        _ progress: ImageRequest.Progress?
    ) {
        let owned = shards.owned(rank: ranks.rank, worldSize: ranks.worldSize)
        let first = shards.ownedImages(rank: ranks.rank, worldSize: ranks.worldSize).lowerBound
        let area = shape.height * shape.width
        self.values = values
        self.progress = progress
        self.area = area
        self.shards = shards
        channels = shape.channels
        own = owned.map { shard in
            let images = shards.images(ofShard: shard)
            return (shard, (images.lowerBound - first) * area..<(images.upperBound - first) * area)
        }
    }

    /// The sum of `term(value, channel)`, [channels]. Collective.
    func total(over ranks: any Ranks, _ term: (Double, Int) -> Double) throws -> [Double] {
        try shards.total(width: channels, over: ranks) { block, sums in
            values.withUnsafeBufferPointer { values in
                for (shard, pixels) in own {
                    progress?(.counting, pixels.lowerBound / area, values.count / (area * channels))
                    let first = shard * block.count - block.lowerBound
                    for pixel in pixels {
                        for channel in block {
                            sums[first + channel] += term(Double(values[pixel * channels + channel]), channel)
                        }
                    }
                }
            }
        }
    }
}
