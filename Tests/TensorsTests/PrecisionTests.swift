import Collectives
import Testing

@testable import Tensors

@Suite struct PrecisionTests {
    /// Bits of a float32, and of the bfloat16 that is nearest.
    @Test(
        arguments: [
            (0x3F80_0000, 0x3F80), (0xBF80_0000, 0xBF80),
            (0x3F80_8000, 0x3F80), (0x3F81_8000, 0x3F82),  // ties, to even
            (0x3F80_8001, 0x3F81), (0x3F81_7FFF, 0x3F81),
            (0x0000_0000, 0x0000), (0x8000_0000, 0x8000), (0x0000_8001, 0x0001),  // zeros, and less than normal
            (0x7F7F_FFFF, 0x7F80), (0xFF7F_FFFF, 0xFF80),  // beyond the largest
            (0x7F80_0000, 0x7F80), (0xFF80_0000, 0xFF80),  // infinities
        ] as [(UInt32, UInt16)])
    func roundsToNearestEven(bits: UInt32, expected: UInt16) {
        #expect(bfloat16(Float(bitPattern: bits)) == expected)
    }

    @Test func notANumberStaysSo() {
        for bits: UInt32 in [0x7FC0_0000, 0x7F80_0001, 0xFFFF_FFFF, 0x7FBF_FFFF] {
            #expect(Float(bitPattern: UInt32(bfloat16(Float(bitPattern: bits))) << 16).isNaN)
        }
    }

    /// Operands of parts, and what a product of theirs is.
    @Test(arguments: Precision.allCases)
    func partsOfAnOperandAreOperands(precision: Precision) throws {
        let device = try Device(precision: precision)
        let whole = device.tensor([5, 7], (0..<35).map { Float($0) })  // whole numbers up to 256 are exact
        let part = device.operand(whole)[rows: 1..<4][columns: 2..<6]  // [3, 4]
        let result = device.tensor([4, 4])
        try device.multiply(part.transposed, part, into: result.matrix)
        for i in 0..<4 {
            for j in 0..<4 {
                var expected: Float = 0
                for row in 1..<4 { expected += whole.matrix.row(row)[2 + i] * whole.matrix.row(row)[2 + j] }
                #expect(result.matrix.row(i)[j] == expected)
            }
        }
    }

    /// A product that is an operand again: rounded once, after the layer's bias and rectification.
    @Test(arguments: Precision.allCases)
    func productsAsOperands(precision: Precision) throws {
        let device = try Device(precision: precision)
        var stream = RandomStream(test: 2)
        let (x, w) = (device.tensor([70, 5], stream.numbers(350)), device.tensor([9, 5], stream.numbers(45)))
        let bias = device.tensor([9], stream.numbers(9))
        let identity = device.tensor([9, 9], (0..<81).map { $0 % 10 == 0 ? 1 : 0 })
        func values(_ operand: Operand) throws -> [Float] {
            let result = device.tensor([operand.rows, 9])
            try device.multiply(operand, device.operand(identity), into: result.matrix)
            return result.array
        }
        let sums = device.tensor([70, 9])
        try device.multiply(device.operand(x), device.operand(w).transposed, into: sums.matrix)
        let product = try device.product(device.operand(x), device.operand(w).transposed)
        let layer = try device.product(device.operand(x), device.operand(w).transposed, rectifiedAfter: bias)
        let layerValues = try values(layer)
        for (i, (sum, found)) in zip(sums.array, layerValues).enumerated() {
            let expected = roundedForTests(max(sum + bias.base[i % 9], 0), to: precision)
            // The order of terms is a kernel's own, so a sum may be rounded to a neighbour.
            #expect(abs(found - expected) <= abs(expected) / 128 + 1e-6, "\(i)")
            #expect(found >= 0 && found == roundedForTests(found, to: precision))
        }
        product.mask(wherePositive: layer)
        let masked = try values(product)
        for (i, found) in masked.enumerated() {
            let expected = layerValues[i] > 0 ? sums.base[i] : 0
            #expect(abs(found - expected) <= abs(expected) / 128 + 1e-6, "\(i)")
        }
        for (column, sum) in product.columnSums().enumerated() {
            let expected = stride(from: column, to: masked.count, by: 9).reduce(0) { $0 + Double(masked[$1]) }
            #expect(abs(sum - expected) < 1e-4)
        }
    }

    /// Sums over no terms.
    @Test(arguments: Precision.allCases)
    func productsOfNothing(precision: Precision) throws {
        let device = try Device(precision: precision)
        let (a, b) = (device.operand(device.tensor([0, 2])).transposed, device.operand(device.tensor([0, 3])))
        let c = device.tensor([2, 3], filledWith: 7)
        try device.multiply(a, b, into: c.matrix, adding: true)
        #expect(c.array == Array(repeating: 7, count: 6))
        try device.multiply(a, b, into: c.matrix)
        #expect(c.array == Array(repeating: 0, count: 6))
        let none = try device.product(device.operand(device.tensor([0, 4])), device.operand(device.tensor([4, 3])))
        #expect(none.rows == 0)
    }
}
