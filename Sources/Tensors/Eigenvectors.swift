import CBLAS
import Collectives

/// The `count` largest eigenvalues of a symmetric matrix and their eigenvectors, largest first. LAPACK: `ssyevr`.
///
/// A vector's sign is set so that its entry of largest magnitude is positive. Costs about 4/3 n³ operations.
/// - Parameter symmetric: [n, n]. Only the upper triangle is read. It isn't changed.
/// - Returns: `values`, [count], and `vectors`, [count, n], orthonormal rows.
/// - Throws: `InputError` for a count outside 1...n or elements that aren't finite; `LAPACKError`.
package func leadingEigenvectors(
    of symmetric: Tensor, count: Int, device: Device
) throws -> (values: [Float], vectors: Tensor) {
    let size = symmetric.shape[0]
    precondition(symmetric.shape == [size, size], "not a square matrix: \(symmetric.shape)")
    let (values, vectors) = try leadingEigenvectors(of: symmetric.array, size: size, count: count)
    return (values, device.tensor([count, size], vectors))
}

/// The same of a matrix in an array, `size` numbers a row.
package func leadingEigenvectors(
    of symmetric: [Float], size: Int, count: Int
) throws -> (values: [Float], vectors: [Float]) {
    precondition(symmetric.count == size * size, "not a square matrix of \(size) rows: \(symmetric.count) elements")
    guard (1...max(size, 1)).contains(count) && size > 0 else {
        throw InputError("\(count) eigenvectors of a \(size)x\(size) matrix were requested: expected 1 to \(size)")
    }
    guard symmetric.allSatisfy(\.isFinite) else {
        throw InputError("a \(size)x\(size) matrix has elements that aren't finite, so it has no eigenvectors")
    }
    var scratch = symmetric  // ssyevr destroys its input
    var columns = [Float](repeating: 0, count: count * size)  // Fortran's columns are our rows
    var values = [Float](repeating: 0, count: size)
    var support = [Int32](repeating: 0, count: 2 * count)
    var (n, first, last) = (Int32(size), Int32(size - count + 1), Int32(size))
    var (found, status): (Int32, Int32) = (0, 0)
    var (lower, upper, tolerance): (Float, Float, Float) = (0, 0, 0)

    func call(_ work: inout [Float], _ workCount: Int32, _ integers: inout [Int32], _ integerCount: Int32) throws {
        var (workCount, integerCount) = (workCount, integerCount)
        // Row-major upper is column-major lower.
        ssyevr_(
            "V", "I", "L", &n, &scratch, &n, &lower, &upper, &first, &last, &tolerance, &found, &values, &columns,
            &n, &support, &work, &workCount, &integers, &integerCount, &status)
        guard status == 0 else { throw LAPACKError(routine: "ssyevr", status: status) }
    }
    var (work, integers): ([Float], [Int32]) = ([0], [0])
    try call(&work, -1, &integers, -1)  // queries the best size of work space
    let (workCount, integerCount) = (Int32(work[0]), integers[0])
    work = Array(repeating: 0, count: Int(workCount))
    integers = Array(repeating: 0, count: Int(integerCount))
    try call(&work, workCount, &integers, integerCount)
    guard found == count else { throw LAPACKError(routine: "ssyevr", status: found) }

    // LAPACK returns the smallest first.
    var vectors = (0..<count).flatMap { columns[(count - 1 - $0) * size..<(count - $0) * size] }
    vectors.withUnsafeMutableBufferPointer { vectors in
        Matrix(base: vectors.baseAddress!, rows: count, columns: size, stride: size).orientRows()
    }
    return (values[..<count].reversed() as [Float], vectors)
}

/// Replaces the rows of [count, size], with count at most size, by orthonormal rows with the same span. LAPACK:
/// `sgeqrf` and `sorgqr`.
///
/// Rows that depend on others give arbitrary directions, which are orthonormal too.
package func orthonormaliseRows(of vectors: Tensor) throws {
    var (count, size) = (Int32(vectors.shape[0]), Int32(vectors.shape[1]))  // Fortran's columns are our rows
    precondition(count <= size, "\(count) orthonormal rows of \(size) dimensions")
    var (factors, status) = ([Float](repeating: 0, count: Int(count)), Int32(0))
    func call(_ work: inout [Float], _ workCount: Int32) throws {
        var workCount = workCount
        sgeqrf_(&size, &count, vectors.base, &size, &factors, &work, &workCount, &status)
        guard status == 0 else { throw LAPACKError(routine: "sgeqrf", status: status) }
        guard workCount > 0 else { return }
        sorgqr_(&size, &count, &count, vectors.base, &size, factors, &work, &workCount, &status)
        guard status == 0 else { throw LAPACKError(routine: "sorgqr", status: status) }
    }
    var work: [Float] = [0]
    try call(&work, -1)  // queries the best size of work space
    work = Array(repeating: 0, count: Int(work[0]))
    try call(&work, Int32(work.count))
}

extension Matrix {
    /// Sets each row's sign so that its entry of largest magnitude is positive.
    package func orientRows() {
        for r in 0..<rows {
            let row = row(r)
            let largest = (0..<columns).max { abs(row[$0]) < abs(row[$1]) } ?? 0
            if columns > 0 && row[largest] < 0 { for c in 0..<columns { row[c] = -row[c] } }
        }
    }
}

/// A failed LAPACK call.
package struct LAPACKError: Error, CustomStringConvertible {
    let routine: StaticString
    /// LAPACK's `info`, or the number of eigenvectors found if that is wrong.
    let status: Int32

    package var description: String { "LAPACK's \(routine) failed with status \(status)" }
}
