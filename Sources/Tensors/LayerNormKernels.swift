// Layer normalisation of the rows of a matrix: mean 0 and variance 1 over each row, then scale and shift by column.

private let epsilon: Float = 1e-5

extension Matrix {
    /// Mean and inverse deviation of a row.
    private func statistics(ofRow r: Int) -> (mean: Float, inverse: Float) {
        let x = row(r)
        var sums = Vector(repeating: 0)
        x.forEachVector(count: columns, filler: 0) { sums += $0 }
        let mean = sums.sum() / Float(columns)
        var squares = Vector(repeating: 0)
        x.forEachVector(count: columns, filler: mean) { squares += ($0 - mean) * ($0 - mean) }
        return (mean, 1 / (squares.sum() / Float(columns) + epsilon).squareRoot())
    }

    /// `self = scale·(x - mean)/sqrt(variance + 1e-5) + shift`, with mean and variance of each row of x. It may be x
    /// itself.
    package func setNormalisedRows(
        of x: Matrix, scale: UnsafeMutablePointer<Float>, shift: UnsafeMutablePointer<Float>
    ) {
        for r in 0..<rows {
            let (mean, inverse) = x.statistics(ofRow: r)
            let (input, output) = (x.row(r), row(r))
            for c in 0..<columns { output[c] = (input[c] - mean) * inverse * scale[c] + shift[c] }
        }
    }

    /// Replaces the gradient by the normalised rows by the gradient by x: dx = inverse·(s - mean(s) - z·mean(s∘z)), s =
    /// scale∘dy, z = (x - mean)·inverse.
    /// - Returns: the gradients by scale and by shift, of this matrix's rows.
    package func replaceByGradientOfNormalisedRows(
        of x: Matrix, scale: UnsafeMutablePointer<Float>
    ) -> (scale: [Double], shift: [Double]) {
        var scaleSums = [Double](repeating: 0, count: columns)
        let shiftSums = columnSums()
        var block = [Float](repeating: 0, count: columns)
        for start in Swift.stride(from: 0, to: rows, by: 256) {
            block.withUnsafeMutableBufferPointer { block in
                block.update(repeating: 0)
                let sums = block.baseAddress!
                for r in start..<min(rows, start + 256) {
                    let (mean, inverse) = x.statistics(ofRow: r)
                    let (input, gradient) = (x.row(r), row(r))
                    var along = Vector(repeating: 0)
                    var total = Vector(repeating: 0)
                    gradient.replaceVectors(count: columns) { dy, c in
                        let z = (input.part(at: c, count: columns, filler: mean) - mean) * inverse
                        let s = dy * scale.part(at: c, count: columns, filler: 0)
                        total += s
                        along += s * z
                        return dy
                    }
                    let (meanOfS, meanOfProduct) = (total.sum() / Float(columns), along.sum() / Float(columns))
                    for c in 0..<columns {
                        let z = (input[c] - mean) * inverse
                        sums[c] += gradient[c] * z
                        gradient[c] = inverse * (gradient[c] * scale[c] - meanOfS - z * meanOfProduct)
                    }
                }
            }
            for c in 0..<columns { scaleSums[c] += Double(block[c]) }
        }
        return (scaleSums, shiftSums)
    }
}
