// The contrastive loss of two views (SimCLR, Chen et al. 2020), exact on any number of ranks.
//
// N images in the global batch, n of them on this rank, two views each, D dimensions.
//   rows    [2n, D]    this rank's unit vectors: the first views, then the second ones
//   all     [2N, D]    gathered: 2N·D numbers travel, and then 2N logarithms
//   scores  [2n, 2N]   <row, column>/τ, a tile of rows at a time
// The scores of all ranks are a symmetric matrix. So the gradient by a row needs, beside all vectors, only the
// normaliser of each other row: nothing travels in backward.

import Autodiff
import Collectives
import Tensors

extension Tape {
    /// The normalised temperature-scaled cross entropy (NT-Xent, Chen et al. 2020, equation 1): the mean over the 2N
    /// views of ln(sum over the other 2N - 1 views of e^(<z, z'>/τ)) - <z, z⁺>/τ, with z⁺ the other view of the image.
    /// It is this rank's part of the sum, a scalar. If all vectors are equal it is ln(2N - 1). Collective.
    ///
    /// - Parameters:
    ///   - first: unit vectors of the first views, [n, D], a row for each of this rank's images.
    ///   - second: those of the second views.
    ///   - temperature: τ, above 0.
    ///   - tileScores: about the number of scores in memory at once.
    /// - Throws: `InputError` when the global batch has fewer than two images.
    package func ntXent(
        _ first: Variable, _ second: Variable, temperature: Double, tileScores: Int = 1 << 21
    ) throws -> Variable {
        let (images, width) = (first.shape[0], first.shape[1])
        try checkContrast(shares)
        let pairs = Shares(counts: shares.counts.map { 2 * $0 }, rank: shares.rank)
        let own = device.tensor([2 * images, width])
        own.view(from: 0, shape: first.shape).copy(from: first.value)
        own.view(from: images * width, shape: first.shape).copy(from: second.value)
        let all = device.operand(try ranks.gatherRows(own, shares: pairs, device: device))
        own.scale(by: Float(1 / temperature))
        let rows = device.operand(own)  // z/τ

        let total = pairs.total
        let tileRows = max(1, min(pairs.own, tileScores / total))
        let buffer = device.tensor([tileRows, total])
        let tiles = stride(from: 0, to: pairs.own, by: tileRows).map { $0..<min($0 + tileRows, pairs.own) }
        /// The scores of some rows with all views, without those with themselves.
        func scores(_ tile: Range<Int>) throws -> Matrix {
            let result = buffer.matrix[rows: 0..<tile.count]
            try device.multiply(rows[rows: tile], all.transposed, into: result)
            for (r, row) in tile.enumerated() { result.row(r)[pairs.first + row] = excludedScore }
            return result
        }
        /// The column of a row's other view.
        func partner(_ row: Int) -> Int { pairs.first + (row < images ? row + images : row - images) }

        var loss = 0.0
        let logarithms = device.tensor([pairs.own, 1])  // ln of each row's sum of exponentials
        for tile in tiles {
            let scores = try scores(tile)
            for (r, (row, logarithm)) in zip(tile, scores.logSumExpOfRows()).enumerated() {
                logarithms.base[row] = Float(logarithm)
                loss += logarithm - Double(scores.row(r)[partner(row)])
            }
        }
        let allLogarithms = try ranks.gatherRows(logarithms, shares: pairs, device: device)
        let scale = 1 / Double(total)
        // dL/dz = (1/2Nτ)·(sum over z' of (p(z'|z) + p(z|z'))·z' - 2·z⁺)
        let gradient = device.tensor(own.shape)
        for tile in tiles {
            let scores = tiles.count == 1 ? buffer.matrix : try scores(tile)
            scores.replaceByExponentials(
                rowOffsets: logarithms.base + tile.lowerBound, columnOffsets: allLogarithms.base,
                scale: Float(scale / temperature))
            for (r, row) in tile.enumerated() { scores.row(r)[partner(row)] -= Float(2 * scale / temperature) }
            try device.multiply(device.operand(scores), all, into: gradient.matrix[rows: tile])
        }
        return recordLoss(
            loss * scale,
            gradients: [
                (first, gradient.view(from: 0, shape: first.shape)),
                (second, gradient.view(from: images * width, shape: first.shape)),
            ])
    }
}

/// Refuses a global batch without negatives.
func checkContrast(_ shares: Shares) throws {
    guard shares.total >= 2 else {
        throw InputError(
            "a contrastive loss needs at least 2 images in the global batch, but there are \(shares.total): raise "
                + "the batch")
    }
}
