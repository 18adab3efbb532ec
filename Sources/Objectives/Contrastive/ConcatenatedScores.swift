import Tensors

/// The layers of the concatenated critic after its first: parameters, or the gradients by them.
package struct ConcatenatedLayers<Value> {
    /// [H, H], [H]
    package var second: Value, secondBias: Value
    /// [1, H], and [1] where the loss can see it.
    package var last: Value, lastBias: Value?
    /// Scale and shift of both hidden layers, [H] each, with layer normalisation.
    package var norms: [(scale: Value, shift: Value)]

    package init(
        second: Value, secondBias: Value, last: Value, lastBias: Value?, norms: [(scale: Value, shift: Value)] = []
    ) {
        self.second = second
        self.secondBias = secondBias
        self.last = last
        self.lastBias = lastBias
        self.norms = norms
    }

    package func map<Result>(_ transform: (Value) -> Result) -> ConcatenatedLayers<Result> {
        ConcatenatedLayers<Result>(
            second: transform(second), secondBias: transform(secondBias), last: transform(last),
            lastBias: lastBias.map(transform), norms: norms.map { (transform($0.scale), transform($0.shift)) })
    }

    /// All of them, in a fixed order.
    var all: [Value] {
        [second, secondBias, last] + (lastBias.map { [$0] } ?? []) + norms.flatMap { [$0.scale, $0.shift] }
    }
}

/// A network of two hidden layers over every pair of a local and a global, the concatenated critic of Hjelm et al. 2019
/// (appendix A.2, concat-and-convolve): u = w₃·r(W₂·r(W₁[local; global] + b₁) + b₂) + b₃.
///
/// W₁[local; global] + b₁ = a + b, one part of each side, so the first layer costs nothing for each pair. The other
/// layers are computed in blocks of pairs, and again for the gradient, so that memory doesn't grow with the number of
/// pairs.
package final class ConcatenatedScores: PairScores {
    private let locals: Tensor  // a: [n·M, H]
    private let globals: Tensor  // b: [N, H]
    private let layers: ConcatenatedLayers<Tensor>
    private let device: Device
    /// Gradient by the locals, [n·M, H].
    let localGradients: Tensor
    let globalGradients: Tensor
    let layerGradients: ConcatenatedLayers<Tensor>
    /// Pairs whose hidden layers are in memory at a time.
    private static let block = 4096

    /// - Parameters:
    ///   - locals: the local part of the first layer before its rectifier, [n·M, H].
    ///   - globals: the global part of all ranks, [N, H].
    package init(locals: Tensor, globals: Tensor, layers: ConcatenatedLayers<Tensor>, device: Device) {
        self.locals = locals
        self.globals = globals
        self.layers = layers
        self.device = device
        localGradients = device.tensor(locals.shape, filledWith: 0)
        globalGradients = device.tensor(globals.shape, filledWith: 0)
        layerGradients = layers.map { device.tensor($0.shape, filledWith: 0) }
    }

    /// The layers of a block of pairs (row, global), [rows·globals, H] each. The sums are those before normalisation.
    private struct Hidden {
        let firstSums: Tensor, first: Tensor, secondSums: Tensor, second: Tensor
    }

    private func hidden(_ rows: Range<Int>, _ columns: Range<Int>) throws -> Hidden {
        let (count, width) = (columns.count, globals.shape[1])
        let shape = [rows.count * count, width]
        let firstSums = device.tensor(shape)
        for (index, row) in rows.enumerated() {
            let a = locals.matrix.row(row)
            for i in 0..<count {
                let (b, sum) = (globals.matrix.row(columns.lowerBound + i), firstSums.matrix.row(index * count + i))
                for c in 0..<width { sum[c] = a[c] + b[c] }
            }
        }
        let first = rectified(firstSums, layer: 0)
        let secondSums = device.tensor(shape)
        try device.multiply(first.matrix, layers.second.matrix.transposed, into: secondSums.matrix)
        secondSums.matrix.addToRows(layers.secondBias.base)
        return Hidden(
            firstSums: firstSums, first: first, secondSums: secondSums, second: rectified(secondSums, layer: 1))
    }

    /// max(norm(x), 0). Without a norm, it is computed in the memory of the sums.
    private func rectified(_ sums: Tensor, layer: Int) -> Tensor {
        guard !layers.norms.isEmpty else {
            sums.rectify()
            return sums
        }
        let result = device.tensor(sums.shape)
        let norm = layers.norms[layer]
        result.matrix.setNormalisedRows(of: sums.matrix, scale: norm.scale.base, shift: norm.shift.base)
        result.rectify()
        return result
    }

    private func blocks(_ rows: Range<Int>, _ columns: Range<Int>) -> [Range<Int>] {
        let size = max(1, Self.block / columns.count)
        return stride(from: rows.lowerBound, to: rows.upperBound, by: size).map { $0..<min($0 + size, rows.upperBound) }
    }

    package func write(_ rows: Range<Int>, _ columns: Range<Int>, into tile: Matrix) throws {
        for block in blocks(rows, columns) {
            let second = try hidden(block, columns).second
            let scores = device.tensor([second.shape[0], 1])
            try device.multiply(second.matrix, layers.last.matrix.transposed, into: scores.matrix)
            let bias = layers.lastBias?.base[0] ?? 0
            for (index, row) in block.enumerated() {
                let (source, target) = (scores.base + index * tile.columns, tile.row(row - rows.lowerBound))
                for i in 0..<tile.columns { target[i] = source[i] + bias }
            }
        }
    }

    func propagate(_ gradient: Matrix, _ rows: Range<Int>, _ columns: Range<Int>) throws {
        for block in blocks(rows, columns) {
            let start = block.lowerBound - rows.lowerBound
            try propagate(gradient[rows: start..<start + block.count], block: block, columns)
        }
    }

    private func propagate(_ gradient: Matrix, block: Range<Int>, _ columns: Range<Int>) throws {
        let count = columns.count
        let hidden = try hidden(block, columns)
        let slopes = device.tensor([block.count * count, 1])  // du
        slopes.reshaped([block.count, count]).matrix.copy(from: gradient)
        // du/dh₂ = w₃; both hidden layers from the last to the first
        try device.multiply(
            slopes.matrix.transposed, hidden.second.matrix, into: layerGradients.last.matrix, adding: true)
        if let bias = layerGradients.lastBias { bias.base[0] += Float(gradient.columnSums().reduce(0, +)) }
        let second = device.tensor(hidden.second.shape)
        try device.multiply(slopes.matrix, layers.last.matrix, into: second.matrix)
        second.matrix.mask(wherePositive: hidden.second.matrix)
        normalise(second, sums: hidden.secondSums, layer: 1)
        add(second.matrix.columnSums(), to: layerGradients.secondBias)
        try device.multiply(
            second.matrix.transposed, hidden.first.matrix, into: layerGradients.second.matrix, adding: true)
        let first = device.tensor(hidden.first.shape)
        try device.multiply(second.matrix, layers.second.matrix, into: first.matrix)
        first.matrix.mask(wherePositive: hidden.first.matrix)
        normalise(first, sums: hidden.firstSums, layer: 0)
        // da of a row: the sum over its pairs; db of a global: the sum over rows
        for (index, row) in block.enumerated() {
            let pairs = first.matrix[rows: index * count..<(index + 1) * count]
            for (c, sum) in pairs.columnSums().enumerated() { localGradients.matrix.row(row)[c] += Float(sum) }
            globalGradients.matrix[rows: columns].add(pairs)
        }
    }

    /// Passes a gradient back through a layer's normalisation, if there is one.
    private func normalise(_ gradient: Tensor, sums: Tensor, layer: Int) {
        guard !layers.norms.isEmpty else { return }
        let byNorm = gradient.matrix.replaceByGradientOfNormalisedRows(
            of: sums.matrix, scale: layers.norms[layer].scale.base)
        add(byNorm.scale, to: layerGradients.norms[layer].scale)
        add(byNorm.shift, to: layerGradients.norms[layer].shift)
    }

    private func add(_ sums: [Double], to gradient: Tensor) {
        for (c, sum) in sums.enumerated() { gradient.base[c] += Float(sum) }
    }
}
