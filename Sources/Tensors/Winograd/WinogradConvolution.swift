/// A convolution of 3x3 kernels and stride 1, and its gradients, in float32, with fewer multiplications. Outputs are computed
/// in tiles of m x m pixels. Their (m + 2)² inputs become as many numbers a channel, and the convolution as many products of
/// matrices:
///
///     M[p] = D[p]·U[p],   p = 1...(m + 2)²;   D [tiles, I], U [I, O], M [tiles, O]
///
/// With E, the gradient by M, the gradient by D is E[p]·U[p]ᵀ, and that by U is D[p]ᵀ·E[p].
final class WinogradConvolution: ConvolutionKernel {
    private enum Form { case tile2, tile3, tile4 }

    private let shape: ConvolutionShape
    private let form: Form
    private unowned let device: Device

    /// The form with the least products; nil where oneDNN's kernels are faster, as measured, and in bfloat16.
    init?(_ shape: ConvolutionShape, device: Device) {
        guard device.precision == .float32, shape.kernel == 3 && shape.stride == 1 else { return nil }
        let channels = [shape.inputChannels, shape.outputChannels]
        guard channels.allSatisfy({ $0 >= 16 && $0 % Lanes.scalarCount == 0 }) else { return nil }
        let (height, width) = (shape.outputHeight, shape.outputWidth)
        let forms: [(Form, products: Int)] = [
            (.tile2, Tile2.products(height: height, width: width)),
            (.tile3, Tile3.products(height: height, width: width)),
            (.tile4, Tile4.products(height: height, width: width)),
        ]
        guard let best = forms.min(by: { $0.products < $1.products }),
            10 * best.products <= 7 * 9 * height * width
        else { return nil }
        self.shape = shape
        self.device = device
        form = best.0
    }

    // Each pass calls a function of a known tile, of which the compiler makes a copy for that tile. Of a class of any tile
    // it makes none, and is a third as fast.

    func forward(_ input: Operand, _ weights: Tensor, into output: Tensor) throws {
        device.timeline?.count(operations: shape.operations)
        switch form {
        case .tile2: try forward(Tile2.self, input, weights, into: output)
        case .tile3: try forward(Tile3.self, input, weights, into: output)
        case .tile4: try forward(Tile4.self, input, weights, into: output)
        }
    }

    func backward(_ outputGradient: Operand, _ weights: Tensor, intoInput gradient: Tensor) throws {
        device.timeline?.count(operations: shape.operations)
        switch form {
        case .tile2: try backward(Tile2.self, outputGradient, weights, intoInput: gradient)
        case .tile3: try backward(Tile3.self, outputGradient, weights, intoInput: gradient)
        case .tile4: try backward(Tile4.self, outputGradient, weights, intoInput: gradient)
        }
    }

    func backward(_ outputGradient: Operand, input: Operand, intoWeights gradient: Tensor) throws {
        device.timeline?.count(operations: shape.operations)
        switch form {
        case .tile2: try backward(Tile2.self, outputGradient, input: input, intoWeights: gradient)
        case .tile3: try backward(Tile3.self, outputGradient, input: input, intoWeights: gradient)
        case .tile4: try backward(Tile4.self, outputGradient, input: input, intoWeights: gradient)
        }
    }

    private func forward<Tile: WinogradTile>(
        _ tile: Tile.Type, _ input: Operand, _ weights: Tensor, into output: Tensor
    ) throws {
        let byTaps = device.tensor([shape.inputChannels * 9, shape.outputChannels])
        Matrix(base: weights.base, rows: byTaps.shape[1], columns: byTaps.shape[0], stride: byTaps.shape[0])
            .transpose(into: byTaps.matrix)
        let filters = Points(Tile.self, rows: shape.inputChannels, channels: shape.outputChannels, device: device)
        filters.set(by: Tile.Filter.self) { row, tap in UnsafePointer(byTaps.matrix.row(row * 9 + tap)) }
        let (image, outputs) = (Map(inputOf: shape, input.floats), Map(outputOf: shape, output.base))
        try forEachChunk(side: Tile.side) { tiles in
            let d = Points(Tile.self, rows: tiles.count, channels: shape.inputChannels, device: device)
            let m = Points(Tile.self, rows: tiles.count, channels: shape.outputChannels, device: device)
            image.read(tiles, by: Tile.Input.self, offset: -shape.padding, into: d)
            for p in 0..<Tile.points { try multiply(d[p], filters[p], into: m[p]) }
            outputs.write(tiles, by: Tile.Output.self, offset: 0, from: m, adding: false)
        }
    }

    private func backward<Tile: WinogradTile>(
        _ tile: Tile.Type, _ outputGradient: Operand, _ weights: Tensor, intoInput gradient: Tensor
    ) throws {
        let byTaps = device.tensor([shape.outputChannels * 9, shape.inputChannels])
        transposeTaps(weights.base, rows: shape.inputChannels, columns: 9, into: byTaps.base)
        // Uᵀ
        let filters = Points(Tile.self, rows: shape.outputChannels, channels: shape.inputChannels, device: device)
        filters.set(by: Tile.Filter.self) { row, tap in UnsafePointer(byTaps.matrix.row(row * 9 + tap)) }
        let (gradients, image) = (Map(outputOf: shape, outputGradient.floats), Map(inputOf: shape, gradient.base))
        gradient.fill(0)  // squares of inputs overlap
        try forEachChunk(side: Tile.side) { tiles in
            let e = Points(Tile.self, rows: tiles.count, channels: shape.outputChannels, device: device)
            let d = Points(Tile.self, rows: tiles.count, channels: shape.inputChannels, device: device)
            gradients.read(tiles, by: Tile.OutputGradient.self, offset: 0, into: e)
            for p in 0..<Tile.points { try multiply(e[p], filters[p], into: d[p]) }
            image.write(tiles, by: Tile.InputGradient.self, offset: -shape.padding, from: d, adding: true)
        }
    }

    private func backward<Tile: WinogradTile>(
        _ tile: Tile.Type, _ outputGradient: Operand, input: Operand, intoWeights gradient: Tensor
    ) throws {
        let (image, gradients) = (Map(inputOf: shape, input.floats), Map(outputOf: shape, outputGradient.floats))
        let sums = Points(Tile.self, rows: shape.outputChannels, channels: shape.inputChannels, device: device)
        try forEachChunk(side: Tile.side) { tiles in
            let d = Points(Tile.self, rows: tiles.count, channels: shape.inputChannels, device: device)
            let e = Points(Tile.self, rows: tiles.count, channels: shape.outputChannels, device: device)
            image.read(tiles, by: Tile.Input.self, offset: -shape.padding, into: d)
            gradients.read(tiles, by: Tile.OutputGradient.self, offset: 0, into: e)
            for p in 0..<Tile.points {
                try multiply(e[p].transposed, d[p], into: sums[p], adding: tiles.first > 0)
            }
        }
        let byTaps = device.tensor([shape.outputChannels * 9, shape.inputChannels])
        sums.get(by: Tile.FilterGradient.self) { row, tap in byTaps.matrix.row(row * 9 + tap) }
        transposeTaps(byTaps.base, rows: 9, columns: shape.inputChannels, into: gradient.base)
    }

    /// The transpose of the taps of each output channel, [O, rows, columns] to [O, columns, rows].
    private func transposeTaps(
        _ source: UnsafeMutablePointer<Float>, rows: Int, columns: Int, into target: UnsafeMutablePointer<Float>
    ) {
        let size = rows * columns
        inParallel(shape.outputChannels, elements: size) { part in
            for o in part {
                Matrix(base: source + o * size, rows: rows, columns: columns, stride: columns).transpose(
                    into: Matrix(base: target + o * size, rows: columns, columns: rows, stride: rows))
            }
        }
    }

    /// Calls `body` for the tiles of some images at a time, in order.
    private func forEachChunk(side: Int, _ body: (Tiles) throws -> Void) rethrows {
        let mostTiles = 512  // more would fall out of the caches
        let image = Tiles(images: 0..<1, of: shape, side: side)
        let size = max(1, mostTiles / image.count)
        for first in stride(from: 0, to: shape.images, by: size) {
            try body(Tiles(images: first..<min(first + size, shape.images), of: shape, side: side))
        }
    }
}
