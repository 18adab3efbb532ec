import Collectives
import Foundation
import Tensors

/// Replaces columns by their normal scores (van der Waerden) where standardisation would squeeze most values together:
/// a value of rank r among n training values becomes Φ⁻¹((r - 1/2)/n).
///
/// Mutual information doesn't change when a rising function is applied to a column. Held-out values between training
/// values are interpolated. Those beyond them get the last score, which can only lose information.
struct NormalScores {
    /// Indices of the replaced columns, rising; the same on every rank.
    let columns: [Int]
    /// For each replaced column: the distinct training values, rising, and their scores.
    private let knots: [(values: [Float], scores: [Float])]
    /// Whether all training rows have the same score, in every column.
    var isConstant: Bool { knots.allSatisfy { $0.values.count == 1 } }

    /// A standardised column with a value beyond this, on any row, has an outlier.
    private static let farthest: Float = 10
    /// A standardised column with a mean absolute value below this has a heavy tail. It is 0.80 for a Gaussian, 0.71
    /// for a Laplacian.
    private static let leastSpread = 0.5

    /// Collective.
    /// - Parameters:
    ///   - values: this rank's rows, [n, D].
    ///   - ownRows: the training rows, which determine the scores.
    ///   - scale: standardisation by all ranks' training rows.
    ///   - kept: columns that stay as they are.
    init(
        of values: Tensor, ownRows: [Int], scale: Standardisation, except kept: [Int] = [], ranks: any Ranks,
        device: Device
    ) throws {
        let dimension = values.shape[1]
        var farthest = [Float](repeating: 0, count: dimension)
        var spread = [Double](repeating: 0, count: dimension)
        func take(_ rows: [Int], sums: inout [Double]) {
            for start in stride(from: 0, to: rows.count, by: 1024) {
                let block = values.rows(Array(rows[start..<min(start + 1024, rows.count)]), device: device)
                scale.apply(to: block.matrix, into: block.matrix)
                block.matrix.accumulateMagnitudes(sums: &sums, largest: &farthest)
            }
        }
        take(ownRows, sums: &spread)
        var unused = spread
        let trained = Set(ownRows)
        take((0..<values.shape[0]).filter { !trained.contains($0) }, sums: &unused)
        spread = try ranks.sum(spread)
        try farthest.withUnsafeMutableBufferPointer { try ranks.maximum($0) }
        let count = Double(try ranks.sum([ownRows.count])[0])
        let isKept = Set(kept)
        columns = (0..<dimension).filter { c in
            guard !isKept.contains(c) else { return false }
            // A column whose squares overflow has no useful deviation.
            guard scale.mean[c].isFinite, scale.deviation[c].isFinite else { return true }
            return farthest[c] > Self.farthest || !scale.constants[c] && spread[c] / count < Self.leastSpread
        }
        knots = try columns.map { c in
            let sorted = try ranks.gather(ownRows.map { values.matrix.row($0)[c] }, filler: 0).sorted()
            return Self.knots(sorted)
        }
    }

    /// - Parameter sorted: at least one value.
    private static func knots(_ sorted: [Float]) -> (values: [Float], scores: [Float]) {
        var knots: (values: [Float], scores: [Float]) = ([], [])
        var first = 0
        for i in sorted.indices where i + 1 == sorted.count || sorted[i + 1] != sorted[i] {
            // Equal values get the mean of their ranks.
            let rank = Double(first + i) / 2 + 0.5
            knots.values.append(sorted[i])
            knots.scores.append(Float(normalQuantile(rank / Double(sorted.count))))
            first = i + 1
        }
        return knots
    }

    /// [n, D] with those columns replaced; a copy if there are any.
    func applied(to values: Tensor, device: Device) -> Tensor {
        guard !columns.isEmpty else { return values }
        let result = device.tensor(values.shape)
        result.copy(from: values)
        for row in 0..<values.shape[0] {
            let row = result.matrix.row(row)
            for (c, knots) in zip(columns, knots) { row[c] = Self.score(row[c], knots) }
        }
        return result
    }

    private static func score(_ value: Float, _ knots: (values: [Float], scores: [Float])) -> Float {
        var (low, high) = (0, knots.values.count)  // the first knot that isn't below the value is in low...high
        while low < high {
            let middle = (low + high) / 2
            if knots.values[middle] < value { low = middle + 1 } else { high = middle }
        }
        guard low > 0 else { return knots.scores[0] }
        guard low < knots.values.count else { return knots.scores[low - 1] }
        let (left, right) = (Double(knots.values[low - 1]), Double(knots.values[low]))
        let fraction = Float((Double(value) - left) / (right - left))
        return knots.scores[low - 1] + fraction * (knots.scores[low] - knots.scores[low - 1])
    }
}

/// Φ⁻¹(p) for 0 < p < 1, by Newton's steps on the logarithm of Φ(x) = erfc(-x/√2)/2.
func normalQuantile(_ p: Double) -> Double {
    // The lower half is used, where Φ has no cancellation. ln Φ is concave and rising, so after the first step Newton's
    // steps approach the root from the left.
    guard p <= 0.5 else { return -normalQuantile(1 - p) }
    var x = p < 0.02 ? -(-2 * log(p)).squareRoot() : 0
    for _ in 0..<20 {
        let probability = erfc(-x / 2.0.squareRoot()) / 2
        let density = exp(-x * x / 2) / (2 * Double.pi).squareRoot()
        let step = probability * log(probability / p) / density
        x -= step
        if abs(step) < 1e-12 { break }
    }
    return x
}

extension Matrix {
    /// Adds each column's magnitudes to its sum, and updates its largest magnitude.
    fileprivate func accumulateMagnitudes(sums: inout [Double], largest: inout [Float]) {
        sums.withUnsafeMutableBufferPointer { sums in
            largest.withUnsafeMutableBufferPointer { largest in
                for r in 0..<rows {
                    let x = row(r)
                    for c in 0..<columns {
                        let magnitude = abs(x[c])
                        sums[c] += Double(magnitude)
                        largest[c] = max(largest[c], magnitude)
                    }
                }
            }
        }
    }
}
