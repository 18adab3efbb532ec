import Collectives
import Tensors
import Testing

@Suite struct ProductsTests {
    private struct Sizes: CustomTestStringConvertible {
        let rows: Int
        let inner: Int
        let columns: Int
        var testDescription: String { "\(rows)x\(inner)x\(columns)" }
    }

    private static let sizes = [
        Sizes(rows: 1, inner: 1, columns: 1), Sizes(rows: 3, inner: 5, columns: 4),
        Sizes(rows: 17, inner: 33, columns: 9), Sizes(rows: 40, inner: 2, columns: 48),
        // Of which one matrix, or the result too, is worth a transposed copy.
        Sizes(rows: 83, inner: 65, columns: 10), Sizes(rows: 5, inner: 257, columns: 41),
        Sizes(rows: 3, inner: 300, columns: 50),
    ]

    /// `values` (rows x columns) as a matrix with gaps after its rows, or as the transpose of one.
    private func make(
        _ device: Device, rows: Int, columns: Int, _ values: [Float], isTransposed: Bool
    ) -> GappedMatrix {
        guard isTransposed else { return GappedMatrix(device, rows: rows, columns: columns, gap: 2, values: values) }
        let moved = (0..<columns).flatMap { c in (0..<rows).map { r in values[r * columns + c] } }
        return GappedMatrix(device, rows: columns, columns: rows, gap: 5, values: moved)
    }

    @Test(arguments: sizes, [(false, false), (false, true), (true, false), (true, true)])
    private func agreesWithTheDefinition(size: Sizes, transposed: (Bool, Bool)) throws {
        for precision in Precision.allCases { try agree(size, transposed, precision) }
    }

    /// In bfloat16 the operands are rounded, and nothing else.
    private func agree(_ size: Sizes, _ transposed: (Bool, Bool), _ precision: Precision) throws {
        let device = try Device(precision: precision)
        var stream = RandomStream(test: 1)
        let (givenA, givenB) = (stream.numbers(size.rows * size.inner), stream.numbers(size.inner * size.columns))
        let (a, b) = (
            givenA.map { roundedForTests($0, to: precision) }, givenB.map { roundedForTests($0, to: precision) }
        )
        let old = stream.numbers(size.rows * size.columns)
        let left = make(device, rows: size.rows, columns: size.inner, givenA, isTransposed: transposed.0)
        let right = make(device, rows: size.inner, columns: size.columns, givenB, isTransposed: transposed.1)
        for adding in [false, true] {
            let expected = (0..<size.rows * size.columns).map { i in
                (0..<size.inner).reduce(adding ? Double(old[i]) : 0) { sum, k in
                    sum + Double(a[i / size.columns * size.inner + k]) * Double(b[k * size.columns + i % size.columns])
                }
            }
            let result = GappedMatrix(device, rows: size.rows, columns: size.columns, values: old)
            let (first, second) = (device.operand(left.matrix), device.operand(right.matrix))
            try device.multiply(
                transposed.0 ? first.transposed : first, transposed.1 ? second.transposed : second,
                into: result.matrix, adding: adding)
            expectClose(result.values, expected, within: 1e-6, "\(precision), adding \(adding)")
            #expect(result.gapsAreUntouched)
        }
    }

    @Test func sumOverNothingIsZero() throws {
        let device = try Device()
        let (left, right) = (device.tensor([3, 0]), device.tensor([0, 4]))
        let result = GappedMatrix(device, rows: 3, columns: 4, values: Array(repeating: 7, count: 12))
        let a = Matrix(base: left.base, rows: 3, columns: 0, stride: 1)
        let b = Matrix(base: right.base, rows: 0, columns: 4, stride: 4)
        try multiply(a, b, into: result.matrix, adding: true)
        #expect(result.values == Array(repeating: 7, count: 12))
        try multiply(a, b, into: result.matrix)
        #expect(result.values == Array(repeating: 0, count: 12))
        #expect(result.gapsAreUntouched)
        // As in the gradient of a weight on a rank without rows: dyᵀ·x.
        let (dy, x) = (device.tensor([0, 3]), device.tensor([0, 4]))
        let dw = device.tensor([3, 4], filledWith: .nan)
        try multiply(dy.matrix.transposed, x.matrix, into: dw.matrix)
        #expect(dw.array == Array(repeating: 0, count: 12))
    }

    @Test func nothingTimesSomethingIsNothing() throws {
        let device = try Device()
        let (x, w, y) = (device.tensor([0, 3]), device.tensor([4, 3], filledWith: 1), device.tensor([0, 4]))
        try multiply(x.matrix, w.matrix.transposed, into: y.matrix)
        #expect(y.array.isEmpty)
    }
}
