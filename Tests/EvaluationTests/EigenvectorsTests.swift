import Collectives
import Tensors
import Testing

@Suite struct EigenvectorsTests {
    private func expectEqual(_ found: [Float], _ expected: [Float]) {
        #expect(found.count == expected.count)
        for (a, b) in zip(found, expected) { #expect(abs(a - b) < 1e-5, "\(found), expected \(expected)") }
    }

    @Test func twoByTwo() throws {
        let device = try Device()
        let matrix = device.tensor([2, 2], [2, 1, 1, 2])
        let (values, vectors) = try leadingEigenvectors(of: matrix, count: 2, device: device)
        expectEqual(values, [3, 1])
        let half = Float(0.5).squareRoot()
        expectEqual(Array(vectors.array[..<2]), [half, half])
        // Of the entries ±sqrt(1/2) rounding says which is larger: only the product is certain.
        expectEqual([vectors.array[2] * vectors.array[3]], [-0.5])
        #expect(matrix.array == [2, 1, 1, 2])
    }

    @Test func largestTwoOfThree() throws {
        // The second difference: eigenvalues 2 - 2 cos(kπ/4), vectors sin(jkπ/4)
        let device = try Device()
        let matrix = device.tensor([3, 3], [2, -1, 0, -1, 2, -1, 0, -1, 2])
        let (values, vectors) = try leadingEigenvectors(of: matrix, count: 2, device: device)
        expectEqual(values, [2 + Float(2).squareRoot(), 2])
        expectEqual(Array(vectors.array[..<3]), [-0.5, Float(0.5).squareRoot(), -0.5])
        expectEqual([vectors.array[3] * vectors.array[5], vectors.array[4]], [-0.5, 0])
    }

    @Test func refusesWhatHasNone() throws {
        let device = try Device()
        let matrix = device.tensor([2, 2], [1, 0, 0, 1])
        #expect(throws: InputError.self) { try leadingEigenvectors(of: matrix, count: 3, device: device) }
        #expect(throws: InputError.self) { try leadingEigenvectors(of: matrix, count: 0, device: device) }
        matrix.fill(.nan)
        #expect(throws: InputError.self) { try leadingEigenvectors(of: matrix, count: 1, device: device) }
    }

    @Test func orthonormalRowsSpanTheSame() throws {
        let device = try Device()
        let rows = device.tensor([2, 3], [3, 0, 4, 3, 5, 4])  // span of (0.6, 0, 0.8) and (0, 1, 0)
        try orthonormaliseRows(of: rows)
        rows.matrix.orientRows()
        expectEqual(rows.array, [0.6, 0, 0.8, 0, 1, 0])
        let dependent = device.tensor([2, 3], [3, 0, 4, 3, 0, 4])
        try orthonormaliseRows(of: dependent)
        let (a, b) = (Array(dependent.array[..<3]), Array(dependent.array[3...]))
        let products = [zip(a, a), zip(a, b), zip(b, b)].map { $0.reduce(0) { $0 + $1.0 * $1.1 } }
        expectEqual(products, [1, 0, 1])
    }
}
