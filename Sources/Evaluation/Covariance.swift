import Collectives
import Tensors

/// The covariance C = Σ (x - mean)(x - mean)ᵀ/rows of features over the rows of all ranks, [dimension, dimension], and
/// its leading eigenvectors. The matrix is computed only where it is small.
struct Covariance {
    let features: Features
    /// [dimension]
    let mean: [Float]
    let ranks: any Ranks
    let device: Device

    typealias Eigenvectors = (values: [Float], vectors: Tensor)

    /// Extra directions of a search, beyond those requested, which improve its precision (Halko et al. 2011, 4.2).
    private static let spareDirections = 16
    /// Number of times that a search multiplies by C. Each reduces the error by the ratio of the first eigenvalue left
    /// out to the last one kept.
    private static let iterations = 10

    /// The `count` leading eigenvectors, by the whole matrix of dimension² floats. Collective; the same bits on every
    /// rank.
    func eigenvectors(count: Int) throws -> Eigenvectors {
        let covariance = device.tensor([mean.count, mean.count], filledWith: 0)
        try features.forEachCentredBlock(mean: mean, device: device) { _, block in
            try multiply(block.transposed, block, into: covariance.matrix, adding: true)
        }
        try average(covariance.matrix)
        return try onRank0(count: count) { try leadingEigenvectors(of: covariance, count: count, device: device) }
    }

    /// The `count` leading eigenvectors by randomised subspace iteration (Halko, Martinsson & Tropp 2011, algorithm
    /// 4.4), with (count + 16)·dimension floats. Collective; the same bits on every rank.
    ///
    /// Random directions Q [l, dimension] are multiplied by C and made orthonormal, again and again. At last the small
    /// matrix Q·C·Qᵀ [l, l] gives the eigenvectors within their span.
    func searchedEigenvectors(count: Int) throws -> Eigenvectors {
        let size = min(count + Self.spareDirections, mean.count)
        let directions = device.tensor([size, mean.count])
        for row in 0..<size {
            var stream = RandomStream(seed: 0, purpose: .initialisation, sample: row)
            for column in 0..<mean.count { directions.matrix.row(row)[column] = stream.normal() }
        }
        for _ in 0..<Self.iterations {
            let next = try product(with: directions)
            directions.copy(
                from: try onRank0(count: size) {
                    try orthonormaliseRows(of: next)
                    return ([], next)
                }.vectors)
        }
        let image = try product(with: directions)
        return try onRank0(count: count) {
            let small = device.tensor([size, size])
            try multiply(image.matrix, directions.matrix.transposed, into: small.matrix)
            let found = try leadingEigenvectors(of: small, count: count, device: device)
            let vectors = device.tensor([count, mean.count])
            try multiply(found.vectors.matrix, directions.matrix, into: vectors.matrix)
            vectors.matrix.orientRows()
            return (found.values, vectors)
        }
    }

    /// Rows times C, [l, dimension], without computing C. Collective; the same bits on every rank.
    private func product(with directions: Tensor) throws -> Tensor {
        let count = directions.shape[0]
        let result = device.tensor(directions.shape, filledWith: 0)
        try features.forEachCentredBlock(mean: mean, device: device) { rows, block in
            let coordinates = device.tensor([rows.count, count])
            try multiply(block, directions.matrix.transposed, into: coordinates.matrix)
            try multiply(coordinates.matrix.transposed, block, into: result.matrix, adding: true)
        }
        try average(result.matrix)
        return result
    }

    /// Sums over ranks and divides by the number of all rows. It takes a row at a time, to use little memory in Double.
    /// Collective.
    private func average(_ sums: Matrix) throws {
        for row in 0..<sums.rows {
            let elements = UnsafeMutableBufferPointer(start: sums.row(row), count: sums.columns)
            let whole = try ranks.sum(elements.map { Double($0) })
            _ = elements.update(fromContentsOf: whole.map { Float($0 / Double(features.rows)) })
        }
    }

    /// Computes on rank 0 and returns the result on every rank, because processors of two kinds could differ in the
    /// last bits. Collective.
    /// - Parameter count: number of vectors; values may be none.
    private func onRank0(count: Int, _ compute: () throws -> Eigenvectors) throws -> Eigenvectors {
        let found = try ranks.agree { ranks.isFirst ? try compute() : nil }
        let vectors = found?.vectors ?? device.tensor([count, mean.count])
        try ranks.broadcast(UnsafeMutableRawBufferPointer(vectors.elements), from: 0)
        return (try ranks.gather(found?.values ?? [], filler: 0), vectors)
    }
}

extension Features {
    /// Calls `body` with this rank's rows minus the mean, in order, in blocks [rows, dimension] of at most 1024 rows
    /// and about 16 MiB.
    func forEachCentredBlock(
        mean: [Float], device: Device, _ body: (_ rows: Range<Int>, _ block: Matrix) throws -> Void
    ) throws {
        let size = max(1, min(1024, (1 << 22) / dimension))
        let scratch = device.tensor([size, dimension])
        let (ones, shift) = ([Float](repeating: 1, count: dimension), mean.map { -$0 })
        try forEachBlock(of: size) { rows in
            let block = scratch.matrix[rows: 0..<rows.count]
            block.setAffine(of: values.matrix[rows: rows], scale: ones, shift: shift, rectified: false)
            try body(rows, block)
        }
    }
}
