import Collectives
import Tensors

/// What a pixel value v becomes: (v/255 - mean) / deviation for a byte, (v - mean) / deviation for a float, by channel.
package struct Normalisation: Codable, Equatable, Sendable {
    /// Of bytes on the scale of 0...1.
    package let mean: [Float]
    /// Standard deviation over all pixels (divided by their number); 1 for a constant channel.
    package let deviation: [Float]

    package init(mean: [Float], deviation: [Float]) {
        self.mean = mean
        self.deviation = deviation
    }

    /// Of the whole data set, of which each rank holds the images of its shards. Collective: outside `ranks.agree { }`.
    ///
    /// The same bits at any world size. Of bytes, ranks add up how often each value occurs, whole numbers that Double
    /// holds exactly up to 2^53 (9 petabytes a channel), and all else follows from the totals. Of floats, each shard is
    /// summed up by the rank that holds it, and the sums of shards are added in their order.
    package init(of dataset: ImageDataset, in shards: VirtualShards, over ranks: any Ranks) throws {
        switch dataset.pixels {
        case .bytes(let pixels):
            self.init(valueCounts: try ranks.sum(Self.valueCounts(pixels, channels: dataset.shape.channels)))
        case .floats(let values):
            let sums = ShardSums(values, dataset.shape, shards, rank: ranks.rank, worldSize: ranks.worldSize)
            try self.init(sums, count: Double(dataset.count * dataset.shape.height * dataset.shape.width), ranks)
        }
    }

    private init(_ sums: ShardSums, count: Double, _ ranks: any Ranks) throws {
        let centre = try sums.total(over: ranks) { value, _ in value }.map { $0 / count }
        let variance = try sums.total(over: ranks) { value, channel in
            (value - centre[channel]) * (value - centre[channel])
        }.map { $0 / count }
        self.init(
            mean: centre.map { Float($0) },
            deviation: variance.map { variance in
                let deviation = Float(variance.squareRoot())
                return deviation > 0 ? deviation : 1
            })
    }

    /// `[channels, 256]`: how often each value occurs.
    private static func valueCounts(_ pixels: [UInt8], channels: Int) -> [Int] {
        var counts = [Int](repeating: 0, count: 256 * channels)
        counts.withUnsafeMutableBufferPointer { counts in
            pixels.withUnsafeBufferPointer { pixels in
                for start in stride(from: 0, to: pixels.count, by: channels) {
                    for channel in 0..<channels { counts[256 &* channel &+ Int(pixels[start &+ channel])] &+= 1 }
                }
            }
        }
        return counts
    }

    /// - Parameter valueCounts: `[channels, 256]`, how often each value occurs; at least one in each channel.
    init(valueCounts: [Int]) {
        var mean: [Float] = []
        var deviation: [Float] = []
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
            mean.append(Float(centre / 255))
            deviation.append(isConstant ? 1 : Float(variance.squareRoot() / 255))
        }
        self.init(mean: mean, deviation: deviation)
    }

    /// What normalised pixels, [..., channels], were made of: bytes on the scale of 0...1. What lies outside of that, by
    /// rounding or otherwise, is set to the nearest.
    package func undone(_ pixels: Tensor, device: Device) -> Tensor {
        let channels = mean.count
        let result = device.tensor(pixels.shape)
        for start in stride(from: 0, to: pixels.count, by: channels) {
            for c in 0..<channels {
                result.base[start + c] = min(max(pixels.base[start + c] * deviation[c] + mean[c], 0), 1)
            }
        }
        return result
    }

    /// Throws when it isn't one for images of so many channels. For one that comes from a file.
    package func check(channels: Int) throws {
        guard mean.count == channels, deviation.count == channels else {
            throw InputError(
                "normalisation has \(mean.count) means and \(deviation.count) deviations, expected \(channels) of each, "
                    + "one a channel")
        }
        guard mean.allSatisfy(\.isFinite), deviation.allSatisfy({ $0.isFinite && $0 > 0 }) else {
            throw InputError("normalisation by \(mean) and \(deviation), expected finite means and deviations above 0")
        }
    }

    /// `[channels, 256]`, what each pixel value becomes.
    func table() -> [Float] {
        zip(mean, deviation).flatMap { mean, deviation in
            (0..<256).map { (Float($0) / 255 - mean) / deviation }
        }
    }
}

/// Sums over all pixels by channel, whose bits don't depend on how shards are dealt to ranks.
private struct ShardSums {
    private let values: [Float]
    private let channels: Int
    private let shardCount: Int
    /// Shards held here, each with the place of its pixels in `values`.
    private let own: [(shard: Int, pixels: Range<Int>)]

    /// Sums that travel at once.
    private static let block = 1 << 20

    init(_ values: [Float], _ shape: ImageShape, _ shards: VirtualShards, rank: Int, worldSize: Int) {
        let owned = shards.owned(rank: rank, worldSize: worldSize)
        let first = shards.ownedImages(rank: rank, worldSize: worldSize).lowerBound
        let area = shape.height * shape.width
        self.values = values
        channels = shape.channels
        shardCount = shards.count
        own = owned.map { shard in
            let images = shards.images(ofShard: shard)
            return (shard, (images.lowerBound - first) * area..<(images.upperBound - first) * area)
        }
    }

    /// The sum of `term(value, channel)`, [channels]. Collective.
    func total(over ranks: any Ranks, _ term: (Double, Int) -> Double) throws -> [Double] {
        var totals = [Double](repeating: 0, count: channels)
        let width = max(1, Self.block / shardCount)
        for start in stride(from: 0, to: channels, by: width) {
            let block = start..<min(start + width, channels)
            // [shards, block]: one rank has a shard's sums, the others zeros, so adding them is exact.
            var sums = [Double](repeating: 0, count: shardCount * block.count)
            for (shard, pixels) in own {
                for pixel in pixels {
                    for channel in block {
                        sums[shard * block.count + channel - start] += term(
                            Double(values[pixel * channels + channel]), channel)
                    }
                }
            }
            sums = try ranks.sum(sums)
            for shard in 0..<shardCount {
                for channel in block { totals[channel] += sums[shard * block.count + channel - start] }
            }
        }
        return totals
    }
}
