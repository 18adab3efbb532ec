import Collectives
import Tensors

/// The directions along which training features vary most, found without labels: the baseline that a code has to beat.
package struct PrincipalComponents {
    /// Of the training rows, [dimension].
    package let mean: [Float]
    /// Of the training rows along each component, largest first (biased: divided by the number of rows).
    package let variances: [Float]
    /// Orthonormal rows, [count, dimension].
    package let directions: Tensor

    /// Features of more dimensions than this have a covariance too large to decompose (16,384² floats are 1 GiB).
    package static let largestDimension = 16_384
    private static let blockOfRows = 1024

    /// Fits `count` components to the rows of all ranks. Collective; the same bits on every rank.
    /// - Throws: `InputError` for a count outside 1...dimension, too many dimensions or no rows.
    package init(of features: Features, count: Int, ranks: any Ranks, device: Device) throws {
        let dimension = features.dimension
        guard features.rows > 0 && (1...dimension).contains(count) else {
            throw InputError(
                "\(count) principal components of \(features.rows) rows: need at least 1 row and 1 to \(dimension) "
                    + "components")
        }
        guard dimension <= Self.largestDimension else {
            throw InputError(
                "principal components of \(dimension) dimensions: at most \(Self.largestDimension), use a smaller layer"
            )
        }
        let rowCount = Double(features.rows)
        let sums = try ranks.sum(Array(features.values.matrix.channelMoments()[..<dimension]))
        mean = sums.map { Float($0 / rowCount) }

        let covariance = device.tensor([dimension, dimension], filledWith: 0)
        let centred = device.tensor([Self.blockOfRows, dimension])
        let (ones, shift) = ([Float](repeating: 1, count: dimension), mean.map { -$0 })
        try features.forEachBlock(of: Self.blockOfRows) { rows in
            let block = centred.matrix[rows: 0..<rows.count]
            block.setAffine(of: features.values.matrix[rows: rows], scale: ones, shift: shift, rectified: false)
            try multiply(block.transposed, block, into: covariance.matrix, adding: true)
        }
        for row in 0..<dimension {  // a row at a time, to need little memory in Double
            let elements = UnsafeMutableBufferPointer(start: covariance.matrix.row(row), count: dimension)
            let sums = try ranks.sum(elements.map { Double($0) })
            _ = elements.update(fromContentsOf: sums.map { Float($0 / rowCount) })
        }

        // One rank decomposes: processors of two kinds could differ in the last bits.
        let found = try ranks.agree {
            ranks.isFirst ? try leadingEigenvectors(of: covariance, count: count, device: device) : nil
        }
        directions = found?.vectors ?? device.tensor([count, dimension])
        try ranks.broadcast(UnsafeMutableRawBufferPointer(directions.elements), from: 0)
        var variances = found?.values ?? Array(repeating: 0, count: count)
        try variances.withUnsafeMutableBytes { try ranks.broadcast($0, from: 0) }
        self.variances = variances
    }

    /// Coordinates along the components: rows (x - mean)·directionsᵀ, [own rows, count].
    package func transform(_ features: Features, device: Device) throws -> Features {
        guard features.dimension == mean.count else {
            throw InputError("features of \(features.dimension) dimensions for components of \(mean.count)")
        }
        let (own, count) = (features.labels.count, directions.shape[0])
        let values = device.tensor([own, count])
        let centred = device.tensor([Self.blockOfRows, features.dimension])
        let (ones, shift) = ([Float](repeating: 1, count: mean.count), mean.map { -$0 })
        try features.forEachBlock(of: Self.blockOfRows) { rows in
            let block = centred.matrix[rows: 0..<rows.count]
            block.setAffine(of: features.values.matrix[rows: rows], scale: ones, shift: shift, rectified: false)
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
