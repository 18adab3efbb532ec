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

/// One term of a separable score, `<local, global columns>`: the score is the sum over factors.
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

/// Inner products of locals and globals.
final class SeparableScores: PairScores {
    private let locals: [LocalFactor]
    private let globals: Tensor  // [N, D]
    private let offsets: Tensor?  // [N]
    private let offsetColumn: Int?
    private let timeline: Timeline?
    /// By each factor's locals, [n·M, Dₖ].
    let localGradients: [Tensor]
    let globalGradients: Tensor
    private var hasGlobalGradients = false

    /// - Parameter offsetColumn: a column of the globals that is added to the scores of its global.
    init(locals: [LocalFactor], globals: Tensor, offsetColumn: Int?, device: Device) {
        self.locals = locals
        self.globals = globals
        self.offsetColumn = offsetColumn
        timeline = device.timeline
        offsets = offsetColumn.map { column in
            device.tensor([globals.shape[0]], (0..<globals.shape[0]).map { globals.matrix.row($0)[column] })
        }
        localGradients = locals.map { device.tensor($0.values.shape) }
        globalGradients = device.tensor(globals.shape, filledWith: 0)
    }

    func write(_ rows: Range<Int>, into tile: Matrix) throws {
        for (k, factor) in locals.enumerated() {
            timeline?.count(operations: 2 * rows.count * factor.columns.count * tile.columns)
            try multiply(
                factor.values.matrix[rows: rows], globals.matrix[columns: factor.columns].transposed, into: tile,
                adding: k > 0)
        }
        if let offsets { tile.addToRows(offsets.base) }
    }

    func propagate(_ gradient: Matrix, _ rows: Range<Int>) throws {
        for (factor, locals) in zip(locals, localGradients) {
            timeline?.count(operations: 4 * rows.count * factor.columns.count * gradient.columns)
            try multiply(gradient, globals.matrix[columns: factor.columns], into: locals.matrix[rows: rows])
            try multiply(
                gradient.transposed, factor.values.matrix[rows: rows],
                into: globalGradients.matrix[columns: factor.columns], adding: hasGlobalGradients)
        }
        hasGlobalGradients = true
        if let offsetColumn {
            for (i, sum) in gradient.columnSums().enumerated() {
                globalGradients.matrix.row(i)[offsetColumn] += Float(sum)
            }
        }
    }
}
