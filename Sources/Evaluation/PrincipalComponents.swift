import Collectives
import Tensors

/// The directions along which training features vary most, found without labels. They are the baseline that a code has
/// to beat.
package struct PrincipalComponents {
    /// Mean of the training rows, [dimension].
    package let mean: [Float]
    /// Variances of the training rows along each component, largest first (biased: divided by the number of rows); all
    /// above 0.
    package let variances: [Float]
    /// Orthonormal rows, [count, dimension].
    package let directions: Tensor

    /// Most dimensions for which the covariance matrix is computed. With more, the components are found by a search.
    package static let largestCovariance = 4096
    /// A component with less than this fraction of the first one's variance counts as rounding: rows or columns depend
    /// on each other.
    private static let smallestFraction: Float = 1e-6

    /// Fits components to the rows of all ranks: `count` of them, or as many as exist. Collective; the same bits on
    /// every rank.
    ///
    /// At most as many exist as there are dimensions, and one fewer than rows.
    /// - Parameter largestCovariance: most dimensions for which the covariance matrix is computed.
    /// - Throws: `InputError` for a count below 1, and where every row is the same.
    package init(
        of features: Features, count: Int, largestCovariance: Int = largestCovariance, ranks: any Ranks, device: Device
    ) throws {
        guard features.rows > 0 && count >= 1 else {
            throw InputError("\(count) principal components of \(features.rows) rows: both must be at least 1")
        }
        let dimension = features.dimension
        let rowCount = Double(features.rows)
        let sums = try ranks.sum(Array(features.values.matrix.channelMoments()[..<dimension]))
        mean = sums.map { Float($0 / rowCount) }
        let covariance = Covariance(features: features, mean: mean, ranks: ranks, device: device)
        let most = min(count, dimension, max(1, features.rows - 1))
        let found =
            try dimension > largestCovariance
            ? covariance.searchedEigenvectors(count: most) : covariance.eigenvectors(count: most)
        let kept = found.values.prefix { $0 > Self.smallestFraction * found.values[0] }.count
        // Deviations this small compared with the mean count as rounding too.
        let rounding = 1e-12 * mean.reduce(0) { $0 + Double($1) * Double($1) }
        guard kept > 0 && Double(found.values[0]) > rounding else {
            throw InputError("every row is the same, so there are no principal components")
        }
        variances = Array(found.values[..<kept])
        directions = found.vectors.view(from: 0, shape: [kept, dimension])
    }

    /// Coordinates along the components: rows (x - mean)·directionsᵀ, [own rows, count].
    package func transform(_ features: Features, device: Device) throws -> Features {
        guard features.dimension == mean.count else {
            throw InputError("features have \(features.dimension) dimensions, but the components have \(mean.count)")
        }
        let (own, count) = (features.labels.count, directions.shape[0])
        let values = device.tensor([own, count])
        try features.forEachCentredBlock(mean: mean, device: device) { rows, block in
            try multiply(block, directions.matrix.transposed, into: values.matrix[rows: rows])
        }
        return features.replacing(values: values)
    }

    /// The nearest features of the original dimension that have these coordinates: rows mean + y·directions,
    /// [rows, dimension] from y [rows, count].
    package func inverse(_ coordinates: Tensor, device: Device) throws -> Tensor {
        let result = device.tensor([coordinates.shape[0], mean.count])
        try multiply(coordinates.matrix, directions.matrix, into: result.matrix)
        result.matrix.addToRows(device.tensor([mean.count], mean).base)
        return result
    }
}
