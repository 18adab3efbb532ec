import Autodiff
import Collectives
import Tensors

/// One computation of a loss over this rank's tiles of scores. Every method is collective and returns this rank's part
/// of the loss.
struct ContrastivePass {
    private let scores: any PairScores
    private let locations: Int
    private let shares: Shares
    private let device: Device
    private let ranks: any Ranks
    private let buffer: Tensor  // [rows, columns] of the largest tile
    private let tiles: [Tile]

    /// A tile of scores in memory: those of some own images' locations with some globals.
    private struct Tile {
        let images: Range<Int>
        let globals: Range<Int>
        /// Locations of the images.
        let rows: Range<Int>
    }

    /// - Parameters:
    ///   - tileScores: about the number of scores of a tile.
    ///   - tileGlobals: most globals of a tile.
    init(
        _ scores: any PairScores, locations: Int, shares: Shares, tileScores: Int, tileGlobals: Int, device: Device,
        ranks: any Ranks
    ) {
        self.scores = scores
        self.locations = locations
        self.shares = shares
        self.device = device
        self.ranks = ranks
        let globals = min(shares.total, tileGlobals)
        let images = min(max(1, tileScores / (locations * globals)), max(shares.own, 1))
        buffer = device.tensor([images * locations, globals])
        tiles = stride(from: 0, to: shares.own, by: images).flatMap { first in
            let images = first..<min(first + images, shares.own)
            return stride(from: 0, to: shares.total, by: globals).map {
                Tile(
                    images: images, globals: $0..<min($0 + globals, shares.total),
                    rows: images.lowerBound * locations..<images.upperBound * locations)
            }
        }
    }

    private func matrix(_ tile: Tile) -> Matrix {
        Matrix(base: buffer.base, rows: tile.rows.count, columns: tile.globals.count, stride: tile.globals.count)
    }

    /// The scores of a tile, [rows, globals].
    private func score(_ tile: Tile) throws -> Matrix {
        let matrix = matrix(tile)
        try scores.write(tile.rows, tile.globals, into: matrix)
        return matrix
    }

    /// The scores of a tile again. If there is only one tile, they are still in memory, except the positives, which the
    /// caller sets.
    private func scoreAgain(_ tile: Tile) throws -> Matrix {
        tiles.count == 1 ? matrix(tile) : try score(tile)
    }

    private func propagate(_ gradient: Matrix, _ tile: Tile) throws {
        try scores.propagate(gradient, tile.rows, tile.globals)
    }

    /// Calls `body` with the score of every location with its own image's global, and with the location's index.
    private func forEachPositive(_ matrix: Matrix, _ tile: Tile, _ body: (inout Float, _ index: Int) -> Void) {
        let own = shares.first + tile.images.lowerBound..<shares.first + tile.images.upperBound
        for global in own.clamped(to: tile.globals) {
            let image = global - shares.first
            for index in image * locations..<(image + 1) * locations {
                body(&matrix.row(index - tile.rows.lowerBound)[global - tile.globals.lowerBound], index)
            }
        }
    }

    /// N·M, the positives of all ranks.
    private var pairs: Double { Double(shares.total) * Double(locations) }

    // MARK: - InfoNCE

    /// mean over (j, p) of ln sum_i e^u[(j,p),i] - u[(j,p),j].
    func infoNCEAnchoredAtLocals() throws -> Double {
        let scale = 1 / pairs
        var loss = 0.0
        for tile in tiles {
            let matrix = try score(tile)
            loss += softmaxOfLocals(matrix, tile, scale: scale)
            try propagate(matrix, tile)
        }
        return loss * scale
    }

    /// Replaces the scores by the gradient of the loss anchored at locals; returns the sum of the losses.
    private func softmaxOfLocals(_ matrix: Matrix, _ tile: Tile, scale: Double) -> Double {
        var loss = 0.0
        forEachPositive(matrix, tile) { u, _ in loss -= Double(u) }
        loss += matrix.replaceBySoftmaxOfRows(scale: Float(scale))
        forEachPositive(matrix, tile) { u, _ in u -= Float(scale) }
        return loss
    }

    /// mean over (i, p) of ln(e^u[(i,p),i] + Zᵢ) - u[(i,p),i], with Zᵢ the sum of e^u[(j,p'),i] over all j ≠ i, p';
    /// or the mean of that and the loss anchored at locals.
    ///
    /// Zᵢ is the same for all locations of image i. So ranks exchange one (maximum, sum) for each global, and the
    /// backward pass needs one number for each global: cᵢ = ln(sum_p Zᵢ/(e^u[(i,p),i] + Zᵢ)) - ln Zᵢ - ln(N·M),
    /// dloss/du = e^(u + cᵢ).
    func infoNCEAnchoredAtGlobals(compatibility: Compatibility, andAtLocals both: Bool = false) throws -> Double {
        let scale = (both ? 0.5 : 1) / pairs
        var positives = [Double](repeating: 0, count: shares.own * locations)
        let logSums = try logSumsOfNegatives(&positives)

        var loss = 0.0
        let positiveScores = positives
        var own = [Float](repeating: 0, count: shares.own)  // cᵢ of this rank's images
        for image in 0..<shares.own {
            var logZ = logSums[shares.first + image]
            if compatibility == .published {  // M scores of -10
                let masked = Double(locations).logarithm - 10
                logZ = max(logZ, masked) + Double.softplus(-abs(logZ - masked))
            }
            var fractions = 0.0  // sum_p Zᵢ/(e^u + Zᵢ) = sum_p sigmoid(ln Zᵢ - u)
            var smallest = Double.infinity  // of u - ln Zᵢ, so that fractions that underflow keep their logarithm
            for p in image * locations..<(image + 1) * locations {
                let margin = positives[p] - logZ
                loss += Double.softplus(-margin)
                fractions += Double.sigmoid(-margin)
                smallest = min(smallest, margin)
                positives[p] = -Double.sigmoid(-margin) * scale
            }
            own[image] = Float((fractions > 0 ? fractions.logarithm : -smallest) - logZ + scale.logarithm)
        }
        var offsets = try gather(own)
        let rowBuffer = both ? device.tensor(buffer.shape) : nil
        for tile in tiles {
            let matrix = try scoreAgain(tile)
            let byRows = rowBuffer?.matrix[rows: 0..<matrix.rows]
            if let byRows {
                forEachPositive(matrix, tile) { u, index in u = Float(positiveScores[index]) }
                byRows.copy(from: matrix)
                loss += softmaxOfLocals(byRows, tile, scale: scale)
            }
            offsets.withUnsafeMutableBufferPointer {
                matrix.replaceByExponentials(offsets: $0.baseAddress! + tile.globals.lowerBound)
            }
            forEachPositive(matrix, tile) { u, index in u = Float(positives[index]) }
            if let byRows { matrix.add(byRows) }
            try propagate(matrix, tile)
        }
        return loss * scale
    }

    /// ln of the sum over all j ≠ i, p of e^u[(j,p),i], for every global i of all ranks. Moves the positives from the
    /// scores to `positives`, [n·M].
    private func logSumsOfNegatives(_ positives: inout [Double]) throws -> [Double] {
        var maxima = [Float](repeating: emptyMaximum, count: shares.total)
        var sums = [Double](repeating: 0, count: shares.total)
        for tile in tiles {
            let matrix = try score(tile)
            forEachPositive(matrix, tile) { u, index in
                positives[index] = Double(u)
                u = excludedScore
            }
            matrix.accumulateColumnSums(maxima: &maxima, sums: &sums, from: tile.globals.lowerBound)
        }
        let ownMaxima = maxima
        try maxima.withUnsafeMutableBufferPointer { try ranks.maximum($0) }
        for i in 0..<shares.total { sums[i] *= Double(ownMaxima[i] - maxima[i]).exponential }
        sums = try ranks.sum(sums)
        return zip(maxima, sums).map { Double($0) + $1.logarithm }
    }

    /// One number for each image of all ranks, [N].
    private func gather(_ own: [Float]) throws -> [Float] {
        var all = [Float](repeating: 0, count: shares.total)
        try own.withUnsafeBytes { part in
            try all.withUnsafeMutableBytes {
                try ranks.gather(part, counts: shares.counts.map { $0 * 4 }, into: $0)
            }
        }
        return all
    }

    // MARK: - Expectations over pairs

    /// ln E_Q[e^u] - E_P[u]: P over the N·M pairs (j, p), j; Q over all (j, p), i with i ≠ j of the global batch.
    /// dloss/du = e^(u - ln sum_Q e^u), or with MINE's moving average instead of the batch's mean.
    func donskerVaradhan(partition: PartitionAverage?) throws -> Double {
        var positives = [Double](repeating: 0, count: shares.own * locations)
        let logSums = try logSumsOfNegatives(&positives)
        let largest = logSums.max() ?? 0
        let logCount = (pairs * Double(shares.total - 1)).logarithm
        let logMean = largest + logSums.reduce(0) { $0 + ($1 - largest).exponential }.logarithm - logCount
        partition?.update(logMean)
        var offsets = [Float](
            repeating: Float(-logCount - (partition?.logarithm ?? logMean)), count: shares.total)
        for tile in tiles {
            let matrix = try scoreAgain(tile)
            offsets.withUnsafeMutableBufferPointer {
                matrix.replaceByExponentials(offsets: $0.baseAddress! + tile.globals.lowerBound)
            }
            forEachPositive(matrix, tile) { u, _ in u = Float(-1 / pairs) }
            try propagate(matrix, tile)
        }
        return logMean * Double(shares.own) / Double(shares.total) - positives.reduce(0, +) / pairs
    }

    /// E_Q[negative(u)] - E_P[positive(u)], P and Q as above.
    func divergence(_ divergence: Divergence) throws -> Double {
        let negatives = pairs * Double(shares.total - 1)
        var loss = divergence.negativeConstant * Double(shares.own) / Double(shares.total)
        for tile in tiles {
            let matrix = try score(tile)
            var positives = [Double](repeating: 0, count: tile.rows.count)
            let first = tile.rows.lowerBound
            forEachPositive(matrix, tile) { u, index in
                positives[index - first] = Double(u)
                u = divergence.neutralScore
            }
            loss += divergence.replaceByNegativeSlopes(matrix, scale: Float(1 / negatives)) / negatives
            forEachPositive(matrix, tile) { u, index in
                let (value, slope) = divergence.positive(positives[index - first])
                loss -= value / pairs
                u = Float(-slope / pairs)
            }
            try propagate(matrix, tile)
        }
        return loss
    }
}
