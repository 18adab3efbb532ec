import Autodiff
import Collectives
import Tensors

/// Scores of this rank's local rows with all globals, computed a tile at a time, and where their gradients go.
protocol PairScores: AnyObject {
    /// Writes the scores of some local rows with all N globals, [rows, N].
    func write(_ rows: Range<Int>, into tile: Matrix) throws
    /// Adds to all gradients, given the gradient by the scores of these rows, [rows, N], which it may overwrite.
    func propagate(_ gradient: Matrix, _ rows: Range<Int>) throws
    /// By all globals, [N, D]: this rank's part.
    var globalGradients: Tensor { get }
}

/// One term of a separable score, `<f(local), global columns>`, with f the identity or a layer of rectified units: the
/// score is the sum over factors. A layer's units are formed for a tile at a time.
package struct LocalFactor {
    /// [n·M, Dₖ]
    package let values: Tensor
    /// [W̃ b̃], [U, Dₖ + 1], of max(W̃·local + b̃, 0).
    package let layer: Tensor?
    /// Which columns of the globals it meets: as many as f has.
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
    private let globals: Tensor  // [N, D]
    private let offsets: Tensor?  // [N]
    private let offsetColumn: Int?
    private let timeline: Timeline?
    let globalGradients: Tensor
    private var hasGlobalGradients = false

    /// - Parameter offsetColumn: a column of the globals that is added to the scores of its global.
    init(locals: [LocalFactor], globals: Tensor, offsetColumn: Int?, device: Device) {
        self.globals = globals
        self.offsetColumn = offsetColumn
        timeline = device.timeline
        offsets = offsetColumn.map { column in
            device.tensor([globals.shape[0]], (0..<globals.shape[0]).map { globals.matrix.row($0)[column] })
        }
        factors = locals.reduce(into: []) { factors, local in
            let sharer = factors.first { $0.local.values.base == local.values.base }
            factors.append(Factor(local, gradient: sharer?.gradient, device: device))
        }
        globalGradients = device.tensor(globals.shape, filledWith: 0)
    }

    /// By each factor's locals, [n·M, Dₖ]; one for factors of the same locals.
    var localGradients: [Tensor] { factors.map(\.gradient) }
    /// By each factor's layer, [U, Dₖ + 1].
    var layerGradients: [Tensor?] { factors.map(\.layerGradient) }

    func write(_ rows: Range<Int>, into tile: Matrix) throws {
        for (k, factor) in factors.enumerated() {
            timeline?.count(operations: 2 * rows.count * factor.local.columns.count * tile.columns)
            try multiply(
                factor.output(rows), globals.matrix[columns: factor.local.columns].transposed, into: tile,
                adding: k > 0)
        }
        if let offsets { tile.addToRows(offsets.base) }
    }

    func propagate(_ gradient: Matrix, _ rows: Range<Int>) throws {
        for factor in factors {
            let columns = globals.matrix[columns: factor.local.columns]
            timeline?.count(operations: 4 * rows.count * columns.columns * gradient.columns)
            try multiply(
                gradient.transposed, factor.output(rows),
                into: globalGradients.matrix[columns: factor.local.columns], adding: hasGlobalGradients)
            try factor.propagate(gradient, columns, rows)
        }
        hasGlobalGradients = true
        if let offsetColumn {
            for (i, sum) in gradient.columnSums().enumerated() {
                globalGradients.matrix.row(i)[offsetColumn] += Float(sum)
            }
        }
    }
}

/// A factor at work: its layer's units for the rows asked for last, and its gradients.
private final class Factor {
    let local: LocalFactor
    let gradient: Tensor
    let layerGradient: Tensor?
    private let layer: RectifiedLayer?
    private let isFirstToWrite: Bool
    private let device: Device
    private var units: (values: Tensor, rows: Range<Int>)?

    /// - Parameter gradient: where an earlier factor of the same locals writes theirs.
    init(_ local: LocalFactor, gradient: Tensor?, device: Device) {
        self.local = local
        self.gradient = gradient ?? device.tensor(local.values.shape)
        self.device = device
        isFirstToWrite = gradient == nil
        layer = local.layer.map { RectifiedLayer($0, device: device) }
        layerGradient = local.layer.map { device.tensor($0.shape, filledWith: 0) }
    }

    /// f of these rows.
    func output(_ rows: Range<Int>) throws -> Matrix {
        let input = local.values.matrix[rows: rows]
        guard let layer else { return input }
        if let units, units.rows == rows { return units.values.matrix }
        units = nil
        let values = device.tensor([rows.count, layer.units])
        try measured(operations: 2 * rows.count * layer.units * layer.channels) {
            try multiply(input, layer.weight.transposed, into: values.matrix)
            values.matrix.addBiasAndRectify(layer.bias.base)
        }
        units = (values, rows)
        return values.matrix
    }

    /// Adds to the gradients by locals and layer, given that by the scores and the globals' columns.
    func propagate(_ gradient: Matrix, _ columns: Matrix, _ rows: Range<Int>) throws {
        let locals = self.gradient.matrix[rows: rows]
        guard let layer, let layerGradient else {
            return try multiply(gradient, columns, into: locals, adding: !isFirstToWrite)
        }
        let output = try output(rows)
        let units = device.tensor([rows.count, layer.units])
        try multiply(gradient, columns, into: units.matrix)
        try measured(operations: 4 * rows.count * layer.units * layer.channels) {
            units.matrix.mask(wherePositive: output)
            try multiply(
                units.matrix.transposed, local.values.matrix[rows: rows],
                into: layerGradient.matrix[columns: 0..<layer.channels], adding: true)
            for (u, sum) in units.matrix.columnSums().enumerated() {
                layerGradient.matrix.row(u)[layer.channels] += Float(sum)
            }
            try multiply(units.matrix, layer.weight, into: locals, adding: !isFirstToWrite)
        }
    }

    private func measured(operations: Int, _ body: () throws -> Void) rethrows {
        guard let timeline = device.timeline else { return try body() }
        try timeline.measure("critic units", .computation) {
            timeline.count(operations: operations)
            try body()
        }
    }
}
