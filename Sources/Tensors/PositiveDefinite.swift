import CBLAS

/// Replaces a symmetric positive definite matrix by its inverse, and returns the logarithm of its determinant. LAPACK:
/// `dpotrf` and `dpotri`, in float64. Costs about n³ operations.
///
/// - Parameter matrix: [n, n]; its upper triangle is read, the whole is written.
/// - Throws: `LAPACKError` where it isn't positive definite, or has elements that aren't finite.
package func invertPositiveDefinite(_ matrix: Tensor) throws -> Double {
    let size = matrix.shape[0]
    precondition(matrix.shape == [size, size], "not a square matrix: \(matrix.shape)")
    var elements = matrix.elements.map(Double.init)
    var (n, status) = (Int32(size), Int32(0))
    dpotrf_("L", &n, &elements, &n, &status)  // row-major upper is column-major lower
    guard status == 0 else { throw LAPACKError(routine: "dpotrf", status: status) }
    let logarithm = 2 * (0..<size).reduce(0) { $0 + elements[$1 * size + $1].logarithm }
    dpotri_("L", &n, &elements, &n, &status)
    guard status == 0 else { throw LAPACKError(routine: "dpotri", status: status) }
    for r in 0..<size {
        for c in r..<size {
            let value = Float(elements[r * size + c])
            matrix.base[r * size + c] = value
            matrix.base[c * size + r] = value
        }
    }
    return logarithm
}
