import COneDNN

/// `c = a·b`, or `c += a·b` when adding. Matrices of any stride; transposes are read in place.
///
/// oneDNN's product, because it tells processors apart by what they can do (design 4.6).
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
    try check(
        "dnnl_sgemm",
        dnnl_sgemm(
            a.isTransposed ? 84 : 78, b.isTransposed ? 84 : 78,  // 'T' : 'N'
            Int64(rows), Int64(columns), Int64(inner), 1, a.base, Int64(a.stride), b.base, Int64(b.stride),
            adding ? 1 : 0, c.base, Int64(c.stride)))
}
