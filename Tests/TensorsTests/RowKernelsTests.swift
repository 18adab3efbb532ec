import Tensors
import Testing

@Suite struct RowKernelsTests {
    private let rows = 3
    private let a: [Float]
    private let b: [Float]
    private let factors: [Float]

    init() {
        var stream = RandomStream(test: 7)
        a = stream.numbers(3 * 37)
        b = stream.numbers(3 * 37)
        factors = stream.numbers(3)
    }

    @Test(arguments: [1, 16, 37]) func agreeWithTheDefinition(columns: Int) throws {
        let device = try Device()
        func matrix(_ values: [Float]) -> GappedMatrix {
            GappedMatrix(device, rows: rows, columns: columns, gap: 3, values: Array(values.prefix(rows * columns)))
        }
        func each(_ body: (_ row: Int, _ index: Int) -> Double) -> [Double] {
            (0..<rows * columns).map { body($0 / columns, $0) }
        }
        let other = matrix(b)
        let products: [Double] = matrix(a).matrix.rowProducts(other.matrix)
        let expected = (0..<rows).map { r in
            (0..<columns).reduce(0.0) { $0 + Double(a[r * columns + $1]) * Double(b[r * columns + $1]) }
        }
        expectClose(products, expected, within: 1e-6)

        let set = matrix(a)
        set.matrix.setRows(of: other.matrix, times: factors)
        expectClose(set.values, each { Double(factors[$0]) * Double(b[$1]) }, within: 1e-6)
        let added = matrix(a)
        added.matrix.addRows(of: other.matrix, times: factors)
        expectClose(added.values, each { Double(a[$1]) + Double(factors[$0]) * Double(b[$1]) }, within: 1e-6)
        let same = matrix(a)
        same.matrix.addToRows(other.matrix.row(1), times: factors)
        expectClose(
            same.values, each { Double(a[$1]) + Double(factors[$0]) * Double(b[columns + $1 % columns]) }, within: 1e-6)
        #expect(set.gapsAreUntouched && added.gapsAreUntouched && same.gapsAreUntouched)
        let last = (1...rows).map { b[$0 * columns - 1] }
        #expect(other.matrix.column(columns - 1) == last)
    }
}
