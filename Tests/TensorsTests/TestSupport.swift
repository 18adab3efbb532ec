import Collectives
import Tensors
import Testing

extension RandomStream {
    /// Stream `index` of those that tests draw from.
    init(test index: Int) { self.init(seed: 17, purpose: .synthetic, sample: index) }

    /// Numbers uniform in `range`.
    mutating func numbers(_ count: Int, in range: ClosedRange<Float> = -2...2) -> [Float] {
        (0..<count).map { _ in range.lowerBound + (range.upperBound - range.lowerBound) * uniform() }
    }
}

/// A matrix whose rows have a gap of NaN after them: a kernel that reads it spoils its result, and one that writes to
/// it is found out by `gapsAreUntouched`.
struct GappedMatrix {
    let matrix: Matrix
    private let tensor: Tensor

    init(_ device: Device, rows: Int, columns: Int, gap: Int = 3, values: [Float]) {
        precondition(values.count == rows * columns)
        tensor = device.tensor([rows, columns + gap], filledWith: .nan)
        matrix = Matrix(base: tensor.base, rows: rows, columns: columns, stride: columns + gap)
        for (i, value) in values.enumerated() { matrix.row(i / columns)[i % columns] = value }
    }

    /// The elements without the gaps, row by row.
    var values: [Float] {
        (0..<matrix.rows).flatMap { r in (0..<matrix.columns).map { c in matrix.row(r)[c] } }
    }

    var gapsAreUntouched: Bool {
        (0..<matrix.rows).allSatisfy { r in (matrix.columns..<matrix.stride).allSatisfy { matrix.row(r)[$0].isNaN } }
    }
}

/// Expects every element to be within `tolerance` times the largest expected magnitude.
func expectClose(
    _ found: [Double], _ expected: [Double], within tolerance: Double, _ what: String = "",
    sourceLocation: SourceLocation = #_sourceLocation
) {
    #expect(found.count == expected.count, "\(what)", sourceLocation: sourceLocation)
    let limit = tolerance * (expected.map(abs).max() ?? 0)
    for (i, (a, b)) in zip(found, expected).enumerated() where !(abs(a - b) <= limit) {
        Issue.record("\(what): element \(i) is \(a), expected \(b) ± \(limit)", sourceLocation: sourceLocation)
        return
    }
}

func expectClose(
    _ found: [Float], _ expected: [Double], within tolerance: Double, _ what: String = "",
    sourceLocation: SourceLocation = #_sourceLocation
) {
    expectClose(found.map(Double.init), expected, within: tolerance, what, sourceLocation: sourceLocation)
}

/// By the definition: of both neighbours of 16 bits the nearer one, of equally near ones the even one.
func roundedForTests(_ value: Float, to precision: Precision) -> Float {
    guard precision == .bfloat16, value.isFinite else { return value }
    let low = Float(bitPattern: value.bitPattern & 0xFFFF_0000)
    let high = Float(bitPattern: (value.bitPattern & 0xFFFF_0000) &+ 0x1_0000)
    let (below, above) = (abs(Double(value) - Double(low)), abs(Double(high) - Double(value)))
    if below != above { return below < above ? low : high }
    return low.bitPattern >> 16 & 1 == 0 ? low : high
}
