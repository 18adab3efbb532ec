// The loss of local Deep InfoMax over the global batch, exact on any number of ranks.
//
// Aims, in order: 1. exact  2. finite for scores up to ±1000  3. memory linear in the batch  4. speed.
//
// N images in the global batch, n of them on this rank, M locations an image, D dimensions.
//   locals   [n·M, D]   stay on their rank
//   globals  [n, D]     gathered to [N, D]; the only thing that travels, with one or two numbers a global
//   scores   [n·M, N]   u[(j, p), i] = <local (j, p), global i>, never whole: a tile of rows at a time

import Autodiff
import Collectives
import Tensors

/// A loss, and its gradients in the inputs' layout.
package struct ContrastiveResult {
    /// This rank's part of the global mean: the parts of all ranks sum to the loss.
    package let loss: Double
    /// By each factor's locals, [n·M, Dₖ].
    package let locals: [Tensor]
    /// By the globals, [n, D].
    package let globals: Tensor
}

/// One term of the score, `<local, global columns>`: the score is the sum over factors.
package struct LocalFactor {
    /// [n·M, Dₖ]
    package let values: Tensor
    /// Which columns of the globals it meets.
    package let columns: Range<Int>

    package init(values: Tensor, columns: Range<Int>) {
        self.values = values
        self.columns = columns
    }
}

package struct ContrastiveLoss {
    package let estimator: Estimator
    package let anchor: Anchor
    /// How many scores are held at a time; a tile has at least one image's.
    package var tileScores = 1 << 21

    package init(_ estimator: Estimator, anchor: Anchor) {
        self.estimator = estimator
        self.anchor = anchor
    }

    /// Computes the loss and both gradients. Collective.
    ///
    /// - Parameters:
    ///   - locals: factors of this rank's n images, M rows an image.
    ///   - globals: [n, D] of the same images. Columns of no factor: at most one, `offsetColumn`.
    ///   - offsetColumn: a column that is added to the scores of its global.
    /// - Throws: `InputError` when the global batch has fewer than two images: there is nothing to contrast with.
    package func callAsFunction(
        locals: [LocalFactor], globals: Tensor, offsetColumn: Int? = nil, locations: Int, shares: Shares,
        device: Device, ranks: any Ranks
    ) throws -> ContrastiveResult {
        guard shares.total >= 2 else {
            throw InputError(
                "a contrastive loss needs at least 2 images in the global batch, not \(shares.total): raise the batch")
        }
        let dimensions = globals.shape[1]
        let all = device.tensor([shares.total, dimensions])
        try ranks.gather(
            UnsafeRawBufferPointer(globals.elements), counts: shares.counts.map { $0 * dimensions * 4 },
            into: UnsafeMutableRawBufferPointer(all.elements))
        var pass = Pass(
            locals: locals, globals: all, offsetColumn: offsetColumn, locations: locations, shares: shares,
            tileScores: tileScores, device: device)
        let loss: Double
        switch (estimator, anchor) {
        case (.infoNCE, .local): loss = try pass.infoNCEAnchoredAtLocals()
        case (.infoNCE, .global): loss = try pass.infoNCEAnchoredAtGlobals(ranks: ranks)
        case (.jensenShannon, _): loss = try pass.jensenShannon()
        }
        let own = device.tensor(globals.shape)
        try ranks.sumScattered(
            UnsafeBufferPointer(pass.globalGradients.elements), counts: shares.counts.map { $0 * dimensions },
            into: own.elements)
        return ContrastiveResult(loss: loss, locals: pass.localGradients, globals: own)
    }
}

/// One computation over this rank's tiles.
private struct Pass {
    let locals: [LocalFactor]
    let globals: Tensor  // [N, D]
    let offsets: Tensor?  // [N]
    let offsetColumn: Int?
    let locations: Int
    let shares: Shares
    let device: Device
    let scores: Tensor  // [tile images · M, N]
    let tileImages: Int
    /// Whether one tile holds all scores, so that a second visit finds them still there.
    let isWhole: Bool
    let localGradients: [Tensor]
    let globalGradients: Tensor  // [N, D]
    private var hasGlobalGradients = false

    init(
        locals: [LocalFactor], globals: Tensor, offsetColumn: Int?, locations: Int, shares: Shares, tileScores: Int,
        device: Device
    ) {
        self.locals = locals
        self.globals = globals
        self.offsetColumn = offsetColumn
        self.locations = locations
        self.shares = shares
        self.device = device
        tileImages = min(max(1, tileScores / (locations * shares.total)), max(shares.own, 1))
        isWhole = tileImages >= shares.own
        scores = device.tensor([tileImages * locations, shares.total])
        localGradients = locals.map { device.tensor($0.values.shape) }
        globalGradients = device.tensor(globals.shape, filledWith: 0)
        offsets = offsetColumn.map { column in
            device.tensor([shares.total], (0..<shares.total).map { globals.matrix.row($0)[column] })
        }
    }

    private var tiles: [Range<Int>] {
        stride(from: 0, to: shares.own, by: tileImages).map { $0..<min($0 + tileImages, shares.own) }
    }

    /// The scores of these images, [images·M, N].
    private func score(_ images: Range<Int>) throws -> Matrix {
        let tile = scores.matrix[rows: 0..<images.count * locations]
        for (k, factor) in locals.enumerated() {
            try multiply(
                rows(of: factor.values, images), globals.matrix[columns: factor.columns].transposed, into: tile,
                adding: k > 0)
        }
        if let offsets { tile.addToRows(offsets.base) }
        return tile
    }

    /// Adds to both gradients, given the gradient by the scores of these images.
    private mutating func propagate(_ gradient: Matrix, _ images: Range<Int>) throws {
        for (factor, locals) in zip(locals, localGradients) {
            try multiply(gradient, globals.matrix[columns: factor.columns], into: rows(of: locals, images))
            try multiply(
                gradient.transposed, rows(of: factor.values, images),
                into: globalGradients.matrix[columns: factor.columns], adding: hasGlobalGradients)
        }
        hasGlobalGradients = true
        if let offsetColumn {
            for (i, sum) in gradient.columnSums().enumerated() {
                globalGradients.matrix.row(i)[offsetColumn] += Float(sum)
            }
        }
    }

    private func rows(of tensor: Tensor, _ images: Range<Int>) -> Matrix {
        tensor.matrix[rows: images.lowerBound * locations..<images.upperBound * locations]
    }

    /// Visits the score of every location with its own image's global: element, and (image, location).
    private func forEachPositive(
        _ tile: Matrix, _ images: Range<Int>, _ body: (inout Float, _ image: Int, _ location: Int) -> Void
    ) {
        for image in images {
            for location in 0..<locations {
                let row = tile.row((image - images.lowerBound) * locations + location)
                body(&row[shares.first + image], image, location)
            }
        }
    }

    /// mean over (j, p) of ln sum_i e^u[(j,p),i] - u[(j,p),j].
    mutating func infoNCEAnchoredAtLocals() throws -> Double {
        let scale = 1 / (Double(shares.total) * Double(locations))
        var loss = 0.0
        for images in tiles {
            let tile = try score(images)
            forEachPositive(tile, images) { u, _, _ in loss -= Double(u) }
            loss += tile.replaceBySoftmaxOfRows(scale: Float(scale))
            forEachPositive(tile, images) { u, _, _ in u -= Float(scale) }
            try propagate(tile, images)
        }
        return loss * scale
    }

    /// mean over (i, p) of ln(e^u[(i,p),i] + Zᵢ) - u[(i,p),i], with Zᵢ the sum of e^u[(j,p'),i] over all j ≠ i, p'.
    ///
    /// Zᵢ is shared by all locations of image i, so one (maximum, sum) a global crosses ranks, and the whole backward
    /// needs one number a global: cᵢ = ln(sum_p Zᵢ/(e^u[(i,p),i] + Zᵢ)) - ln Zᵢ - ln(N·M), dloss/du = e^(u + cᵢ).
    mutating func infoNCEAnchoredAtGlobals(ranks: any Ranks) throws -> Double {
        let images = shares.total
        let scale = 1 / (Double(images) * Double(locations))
        var positives = [Double](repeating: 0, count: shares.own * locations)
        var maxima = [Float](repeating: emptyMaximum, count: images)
        var sums = [Double](repeating: 0, count: images)
        for part in tiles {
            let tile = try score(part)
            forEachPositive(tile, part) { u, image, location in
                positives[image * locations + location] = Double(u)
                u = excludedScore
            }
            tile.accumulateColumnSums(maxima: &maxima, sums: &sums)
        }
        let ownMaxima = maxima
        try maxima.withUnsafeMutableBufferPointer { try ranks.maximum($0) }
        for i in 0..<images { sums[i] *= Double(ownMaxima[i] - maxima[i]).exponential }
        sums = try ranks.sum(sums)

        var loss = 0.0
        var own = [Float](repeating: 0, count: shares.own)  // cᵢ of this rank's images
        for image in 0..<shares.own {
            let logZ = Double(maxima[shares.first + image]) + sums[shares.first + image].logarithm
            var share = 0.0  // sum_p Zᵢ/(e^u + Zᵢ) = sum_p sigmoid(ln Zᵢ - u)
            var smallest = Double.infinity  // of u - ln Zᵢ, so that a share that underflows keeps its logarithm
            for p in image * locations..<(image + 1) * locations {
                let margin = positives[p] - logZ
                loss += Double.softplus(-margin)
                share += Double.sigmoid(-margin)
                smallest = min(smallest, margin)
                positives[p] = -Double.sigmoid(-margin) * scale
            }
            own[image] = Float((share > 0 ? share.logarithm : -smallest) - logZ + scale.logarithm)
        }
        var offsets = [Float](repeating: 0, count: images)
        try own.withUnsafeBytes { part in
            try offsets.withUnsafeMutableBytes {
                try ranks.gather(part, counts: shares.counts.map { $0 * 4 }, into: $0)
            }
        }
        for part in tiles {
            let tile = isWhole ? scores.matrix[rows: 0..<part.count * locations] : try score(part)
            offsets.withUnsafeMutableBufferPointer { tile.replaceByExponentials(offsets: $0.baseAddress!) }
            forEachPositive(tile, part) { u, image, location in u = Float(positives[image * locations + location]) }
            try propagate(tile, part)
        }
        return loss * scale
    }

    /// E_neg - E_pos: mean over i ≠ j, p of softplus(u) - ln 2, less the mean over (j, p) of ln 2 - softplus(-u)
    /// of u[(j,p),j].
    mutating func jensenShannon() throws -> Double {
        let pairs = Double(shares.total) * Double(locations)
        let negatives = pairs * Double(shares.total - 1)
        var positives = [Double](repeating: 0, count: shares.own * locations)
        var loss = 0.0
        for images in tiles {
            let tile = try score(images)
            forEachPositive(tile, images) { u, image, location in
                positives[image * locations + location] = Double(u)
                u = excludedScore
            }
            loss += tile.replaceBySigmoid(scale: Float(1 / negatives)) / negatives
            forEachPositive(tile, images) { u, image, location in
                let positive = positives[image * locations + location]
                loss += Double.softplus(-positive) / pairs
                u = Float(-Double.sigmoid(-positive) / pairs)
            }
            try propagate(tile, images)
        }
        return loss - 2 * (2.0).logarithm * Double(shares.own) / Double(shares.total)
    }
}
