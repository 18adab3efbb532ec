import CBLAS
import COneDNN

/// `c = a·b`, or `c += a·b` when adding. Matrices of any stride. Transposes are read in place, or from a copy where
/// that is faster.
///
/// It is oneDNN's product, which chooses its kernels by the processor's features (design 4.6).
package func multiply(_ a: Matrix, _ b: Matrix, into c: Matrix, adding: Bool = false) throws {
    let rows = a.isTransposed ? a.columns : a.rows
    let inner = a.isTransposed ? a.rows : a.columns
    let columns = b.isTransposed ? b.rows : b.columns
    precondition(inner == (b.isTransposed ? b.columns : b.rows), "inner sizes differ")
    precondition(c.rows == rows && c.columns == columns && !c.isTransposed, "the result has another size")
    guard rows > 0 && columns > 0 else { return }
    guard inner > 0 else {
        if !adding { for row in 0..<rows { c.row(row).update(repeating: 0, count: columns) } }
        return
    }
    switch copyWorthwhile(a, b, rows: rows, inner: inner, columns: columns) {
    case .none: try product(a, b, into: c, adding: adding)
    case .first: try a.withTransposedCopy { try product($0, b, into: c, adding: adding) }
    case .second: try b.withTransposedCopy { try product(a, $0, into: c, adding: adding) }
    case .firstAndResult:
        try a.withTransposedCopy { try multiply(b.transposed, $0, intoTranspose: c, adding: adding) }
    }
}

private enum Copy { case none, first, second, firstAndResult }

/// For some shapes, oneDNN's products without a transpose are up to 1.5 times as fast as with one. There a transposed
/// copy of the smaller matrix pays, because the product takes much longer than the copy.
private func copyWorthwhile(_ a: Matrix, _ b: Matrix, rows: Int, inner: Int, columns: Int) -> Copy {
    let much = 8
    switch (a.isTransposed, b.isTransposed) {
    case (false, true) where inner >= 64 && rows >= much * columns: return .second
    case (false, true) where inner >= 256 && columns >= much * rows: return .firstAndResult
    case (true, false) where inner >= 256 && rows <= 64 && columns >= 2 * much * rows: return .first
    default: return .none
    }
}

private func product(_ a: Matrix, _ b: Matrix, into c: Matrix, adding: Bool) throws {
    try check(
        "dnnl_sgemm",
        dnnl_sgemm(
            a.isTransposed ? 84 : 78, b.isTransposed ? 84 : 78,  // 'T' : 'N'
            Int64(c.rows), Int64(c.columns), Int64(a.isTransposed ? a.rows : a.columns), 1, a.base, Int64(a.stride),
            b.base, Int64(b.stride), adding ? 1 : 0, c.base, Int64(c.stride)))
}

/// `cᵀ = a·b`, or added.
private func multiply(_ a: Matrix, _ b: Matrix, intoTranspose c: Matrix, adding: Bool) throws {
    try withUnsafeTemporaryAllocation(of: Float.self, capacity: c.rows * c.columns) { memory in
        let result = Matrix(base: memory.baseAddress!, rows: c.columns, columns: c.rows, stride: c.rows)
        if adding { c.transpose(into: result) }
        try product(a, b, into: result, adding: adding)
        result.transpose(into: c)
    }
}

extension Matrix {
    /// Writes the transpose of the matrix in memory.
    package func transpose(into other: Matrix) {
        cblas_somatcopy(
            CblasRowMajor, CblasTrans, Int32(rows), Int32(columns), 1, base, Int32(stride), other.base,
            Int32(other.stride))
    }

    /// Calls `body` with a copy of the transpose of the matrix in memory.
    fileprivate func withTransposedCopy(_ body: (Matrix) throws -> Void) rethrows {
        try withUnsafeTemporaryAllocation(of: Float.self, capacity: rows * columns) { memory in
            let copy = Matrix(base: memory.baseAddress!, rows: columns, columns: rows, stride: rows)
            transpose(into: copy)
            try body(copy)
        }
    }
}
