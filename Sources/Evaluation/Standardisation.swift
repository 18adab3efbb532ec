import Collectives
import Tensors

/// Mean and standard deviation of each dimension over all ranks' rows.
package struct Standardisation {
    package let mean: [Float]
    /// Of the biased variance; 1 where the dimension is constant.
    package let deviation: [Float]

    /// A deviation that is smaller than this times the mean is rounding, not variation.
    private static let smallestRelativeDeviation = 1e-6

    /// Collective. `features` must have at least one row.
    package init(of features: Features, ranks: any Ranks, device: Device) throws {
        let (dimension, count) = (features.dimension, Double(features.rows))
        let sums = try ranks.sum(Array(features.values.matrix.channelMoments()[..<dimension]))
        let mean = sums.map { Float($0 / count) }

        // Squares of centred values, so that a large mean doesn't cancel them away.
        let scratch = device.tensor([1024, dimension])
        let (ones, shift) = ([Float](repeating: 1, count: dimension), mean.map { -$0 })
        var moments = [Double](repeating: 0, count: 2 * dimension)
        features.forEachBlock(of: 1024) { rows in
            let block = scratch.matrix[rows: 0..<rows.count]
            block.setAffine(of: features.values.matrix[rows: rows], scale: ones, shift: shift, rectified: false)
            for (i, moment) in block.channelMoments().enumerated() { moments[i] += moment }
        }
        moments = try ranks.sum(moments)
        deviation = (0..<dimension).map { c in
            let residual = moments[c] / count
            let deviation = max(moments[dimension + c] / count - residual * residual, 0).squareRoot()
            return deviation <= Self.smallestRelativeDeviation * Double(abs(mean[c])) ? 1 : Float(deviation)
        }
        self.mean = mean
    }

    /// Writes (x - mean)/deviation by dimension to `result`, which may be x itself.
    package func apply(to x: Matrix, into result: Matrix) {
        result.setAffine(
            of: x, scale: deviation.map { 1 / $0 }, shift: zip(mean, deviation).map { -$0 / $1 }, rectified: false)
    }
}
