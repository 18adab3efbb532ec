import Collectives
import Tensors

/// The covariance C = Σ (x - mean)(x - mean)ᵀ/rows of features over the rows of all ranks, [dimension, dimension], and
/// its leading eigenvectors. It is made only where it is small.
struct Covariance {
    let features: Features
    /// [dimension]
    let mean: [Float]
    let ranks: any Ranks
    let device: Device

    typealias Eigenvectors = (values: [Float], vectors: Tensor)

    /// Directions that a search has beyond those asked for; they take up what isn't found yet (Halko et al. 2011, 4.2).
    private static let spareDirections = 16
    /// Times that a search multiplies by C. Each makes what it lacks smaller by the ratio of the first eigenvalue left
    /// out to the last one kept.
    private static let iterations = 10

    /// The `count` leading ones, of the whole matrix: dimension² floats. Collective; the same bits on every rank.
    func eigenvectors(count: Int) throws -> Eigenvectors {
        let covariance = device.tensor([mean.count, mean.count], filledWith: 0)
        try features.forEachCentredBlock(mean: mean, device: device) { _, block in
            try multiply(block.transposed, block, into: covariance.matrix, adding: true)
        }
        try average(covariance.matrix)
        return try onFirstRank(count: count) { try leadingEigenvectors(of: covariance, count: count, device: device) }
    }

    /// The `count` leading ones by randomised subspace iteration (Halko, Martinsson & Tropp 2011, algorithm 4.4), with
    /// (count + 16)·dimension floats. Collective; the same bits on every rank.
    ///
    /// Random directions Q [l, dimension] are multiplied by C and made orthonormal, again and again; at last the small
    /// matrix Q·C·Qᵀ [l, l] tells the eigenvectors within what they span.
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
                from: try onFirstRank(count: size) {
                    try orthonormaliseRows(of: next)
                    return ([], next)
                }.vectors)
        }
        let image = try product(with: directions)
        return try onFirstRank(count: count) {
            let small = device.tensor([size, size])
            try multiply(image.matrix, directions.matrix.transposed, into: small.matrix)
            let found = try leadingEigenvectors(of: small, count: count, device: device)
            let vectors = device.tensor([count, mean.count])
            try multiply(found.vectors.matrix, directions.matrix, into: vectors.matrix)
            vectors.matrix.orientRows()
            return (found.values, vectors)
        }
    }

    /// Rows times C, [l, dimension] of [l, dimension], without C. Collective; the same bits on every rank.
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

    /// Sums over ranks and divides by the rows of all. Collective. A row at a time, to need little memory in Double.
    private func average(_ sums: Matrix) throws {
        for row in 0..<sums.rows {
            let elements = UnsafeMutableBufferPointer(start: sums.row(row), count: sums.columns)
            let whole = try ranks.sum(elements.map { Double($0) })
            _ = elements.update(fromContentsOf: whole.map { Float($0 / Double(features.rows)) })
        }
    }

    /// What the first rank computes, on every rank: processors of two kinds could differ in the last bits. Collective.
    /// - Parameter count: of its vectors; values may be none.
    private func onFirstRank(count: Int, _ compute: () throws -> Eigenvectors) throws -> Eigenvectors {
        let found = try ranks.agree { ranks.isFirst ? try compute() : nil }
        let vectors = found?.vectors ?? device.tensor([count, mean.count])
        try ranks.broadcast(UnsafeMutableRawBufferPointer(vectors.elements), from: 0)
        return (try ranks.gather(found?.values ?? [], filler: 0), vectors)
    }
}

extension Features {
    /// This rank's rows less the mean, in order, in blocks [rows, dimension] of at most 1024 and about 16 MiB.
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
