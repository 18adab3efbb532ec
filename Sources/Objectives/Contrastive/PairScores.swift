import Autodiff
import Collectives
import Tensors

/// Scores of this rank's local rows with all globals, computed a tile at a time, and their gradients.
protocol PairScores: AnyObject {
    /// Writes the scores of some local rows with some globals, [rows, globals].
    func write(_ rows: Range<Int>, _ globals: Range<Int>, into tile: Matrix) throws
    /// Adds to all gradients, given the gradient by these scores, [rows, globals], which it may overwrite.
    func propagate(_ gradient: Matrix, _ rows: Range<Int>, _ globals: Range<Int>) throws
    /// This rank's part of the gradient by all globals, [N, D].
    var globalGradients: Tensor { get }
}

/// One term of a separable score, `<f(local), global columns>`, with f the identity or a layer of rectified units. The
/// score is the sum over factors. A layer's units are computed for a tile at a time.
package struct LocalFactor {
    /// [n·M, Dₖ]
    package let values: Tensor
    /// [W̃ b̃], [U, Dₖ + 1], of max(W̃·local + b̃, 0).
    package let layer: Tensor?
    /// Its columns of the globals: as many as f has.
    package let columns: Range<Int>

    package init(values: Tensor, layer: Tensor? = nil, columns: Range<Int>) {
        self.values = values
        self.layer = layer
        self.columns = columns
    }
}

/// Inner products of locals and globals.
final class SeparableScores: PairScores {
    private let factors: [Factor]
    private let globals: Operand  // [N, D]
    private let offsets: Tensor?  // [N]
    private let offsetColumn: Int?
    private let device: Device
    let globalGradients: Tensor

    /// - Parameter offsetColumn: a column of the globals whose values are added to the scores of their global.
    init(locals: [LocalFactor], globals: Tensor, offsetColumn: Int?, device: Device) {
        self.globals = device.operand(globals)
        self.offsetColumn = offsetColumn
        self.device = device
        offsets = offsetColumn.map { column in
            device.tensor([globals.shape[0]], (0..<globals.shape[0]).map { globals.matrix.row($0)[column] })
        }
        factors = locals.reduce(into: []) { factors, local in
            let sharer = factors.first { $0.local.values.base == local.values.base }
            factors.append(Factor(local, gradient: sharer?.gradient, device: device))
        }
        globalGradients = device.tensor(globals.shape, filledWith: 0)
    }

    /// Gradients by each factor's locals, [n·M, Dₖ]; factors of the same locals have one in common.
    var localGradients: [Tensor] { factors.map(\.gradient) }
    /// Gradients by each factor's layer, [U, Dₖ + 1].
    var layerGradients: [Tensor?] { factors.map(\.layerGradient) }

    func write(_ rows: Range<Int>, _ range: Range<Int>, into tile: Matrix) throws {
        for (k, factor) in factors.enumerated() {
            try device.multiply(
                factor.output(rows), globals[rows: range][columns: factor.local.columns].transposed, into: tile,
                adding: k > 0)
        }
        if let offsets { tile.addToRows(offsets.base + range.lowerBound) }
    }

    func propagate(_ gradient: Matrix, _ rows: Range<Int>, _ range: Range<Int>) throws {
        for factor in factors {
            let columns = factor.local.columns
            try factor.propagate(
                gradient, rows, globals: globals[rows: range][columns: columns],
                globalGradients: globalGradients.matrix[rows: range][columns: columns])
        }
        if let offsetColumn {
            for (i, sum) in gradient.columnSums().enumerated() {
                globalGradients.matrix.row(range.lowerBound + i)[offsetColumn] += Float(sum)
            }
        }
    }
}

/// The state of a factor: its layer's units for the last rows, and its gradients.
private final class Factor {
    let local: LocalFactor
    let gradient: Tensor
    private let layer: RectifiedLayer?
    /// Gradients by W̃, as its transpose [Dₖ, U], and by b̃, [U].
    private let weightGradient: Tensor
    private let biasGradient: Tensor
    private let device: Device
    private let locals: Operand
    private let weight: Operand?
    private var units: (output: Operand, rows: Range<Int>)?

    /// - Parameter gradient: the gradient by the same locals, if an earlier factor has one.
    init(_ local: LocalFactor, gradient: Tensor?, device: Device) {
        self.local = local
        self.gradient = gradient ?? device.tensor(local.values.shape, filledWith: 0)
        self.device = device
        layer = local.layer.map { RectifiedLayer($0, device: device) }
        locals = device.operand(local.values)
        weight = layer.map { device.operand($0.weight) }
        weightGradient = device.tensor([layer?.channels ?? 0, layer?.units ?? 0], filledWith: 0)
        biasGradient = device.tensor([layer?.units ?? 0], filledWith: 0)
    }

    /// Gradient by the layer, [U, Dₖ + 1].
    var layerGradient: Tensor? {
        layer.map { layer in
            let result = device.tensor([layer.units, layer.channels + 1])
            weightGradient.matrix.transpose(into: result.matrix[columns: 0..<layer.channels])
            for u in 0..<layer.units { result.matrix.row(u)[layer.channels] = biasGradient.base[u] }
            return result
        }
    }

    /// f of these rows.
    func output(_ rows: Range<Int>) throws -> Operand {
        guard let layer, let weight else { return locals[rows: rows] }
        if let units, units.rows == rows { return units.output }
        units = nil
        let output = try measured {
            try device.product(locals[rows: rows], weight.transposed, rectifiedAfter: layer.bias)
        }
        units = (output, rows)
        return output
    }

    /// Adds to the gradients by locals, layer and the globals' columns, given the gradient by the scores of these rows,
    /// [rows, globals].
    func propagate(_ gradient: Matrix, _ rows: Range<Int>, globals: Operand, globalGradients: Matrix) throws {
        let (input, output) = (self.locals[rows: rows], try output(rows))
        let locals = self.gradient.matrix[rows: rows]
        for block in blocks(rows) {
            let (gradient, locals) = (device.operand(gradient[rows: block]), locals[rows: block])
            try device.multiply(gradient.transposed, output[rows: block], into: globalGradients, adding: true)
            guard let weight else {
                try device.multiply(gradient, globals, into: locals, adding: true)
                continue
            }
            let units = try device.product(gradient, globals)
            try measured {
                units.mask(wherePositive: output[rows: block])
                try device.multiply(input[rows: block].transposed, units, into: weightGradient.matrix, adding: true)
                for (u, sum) in units.columnSums().enumerated() { biasGradient.base[u] += Float(sum) }
                try device.multiply(units, weight, into: locals, adding: true)
            }
        }
    }

    /// Blocks of rows, so small that their units' gradients stay in a cache between the products that make and use
    /// them.
    private func blocks(_ rows: Range<Int>) -> [Range<Int>] {
        let elements = device.precision == .float32 ? 1 << 20 : 1 << 18
        let size = max(64, elements / max(local.columns.count, 1))
        return stride(from: 0, to: rows.count, by: size).map { $0..<min($0 + size, rows.count) }
    }

    private func measured<Result>(_ body: () throws -> Result) rethrows -> Result {
        try device.timeline.measured("critic units", .computation, body)
    }
}
