// Batch normalisation over the rows of a matrix, with a column for each channel. Sums are over this rank's rows; the
// caller adds those of the other ranks.

private let blockOfRows = 64

extension Matrix {
    /// Per channel, the sum of x and of x², as `[sum..., sumOfSquares...]`.
    package func channelMoments() -> [Double] {
        accumulateChannels { sums, squares, r in
            let x = row(r)
            for c in 0..<columns {
                sums[c] += x[c]
                squares[c] += x[c] * x[c]
            }
        }
    }

    /// `self = x·scale + shift` by channel, plus `skip` if there is one, negative values set to 0 when rectified.
    package func setAffine(
        of x: Matrix, scale: [Float], shift: [Float], rectified: Bool, adding skip: Matrix? = nil
    ) {
        let floor: Float = rectified ? 0 : -.infinity
        scale.withUnsafeBufferPointer { scale in
            shift.withUnsafeBufferPointer { shift in
                inParallel(rows, elements: columns) { part in
                    for r in part {
                        let (input, output) = (x.row(r), row(r))
                        if let skip = skip?.row(r) {
                            for c in 0..<columns { output[c] = max(input[c] * scale[c] + shift[c] + skip[c], floor) }
                        } else {
                            for c in 0..<columns { output[c] = max(input[c] * scale[c] + shift[c], floor) }
                        }
                    }
                }
            }
        }
    }

    /// With `self` the gradient by the output y: sets it to 0 where a rectified y is 0, and returns per channel the
    /// sum of the gradient and of gradient·(x - mean), as `[sum..., sumOfProducts...]`.
    package func maskAndSum(output y: Matrix, input x: Matrix, mean: [Float], rectified: Bool) -> [Double] {
        mean.withUnsafeBufferPointer { mean in
            accumulateChannels { sums, products, r in
                let (gradient, output, input) = (row(r), y.row(r), x.row(r))
                if rectified {
                    for c in 0..<columns { gradient[c] = output[c] > 0 ? gradient[c] : 0 }
                }
                for c in 0..<columns {
                    sums[c] += gradient[c]
                    products[c] += gradient[c] * (input[c] - mean[c])
                }
            }
        }
    }

    /// `self = y·a + x·b + c` by channel; y may be `self`.
    package func setCombination(of y: Matrix, _ a: [Float], with x: Matrix, _ b: [Float], _ c: [Float]) {
        a.withUnsafeBufferPointer { a in
            b.withUnsafeBufferPointer { b in
                c.withUnsafeBufferPointer { c in
                    inParallel(rows, elements: columns) { part in
                        for r in part {
                            let (result, first, second) = (row(r), y.row(r), x.row(r))
                            for i in 0..<columns { result[i] = first[i] * a[i] + second[i] * b[i] + c[i] }
                        }
                    }
                }
            }
        }
    }

    /// Adds `bias` to every row and sets negative values to 0.
    package func addBiasAndRectify(_ bias: UnsafeMutablePointer<Float>) {
        inParallel(rows, elements: columns) { part in
            for r in part {
                let row = row(r)
                for c in 0..<columns { row[c] = max(row[c] + bias[c], 0) }
            }
        }
    }

    /// Sets elements to 0 where `output` is not positive.
    package func mask(wherePositive output: Matrix) {
        inParallel(rows, elements: columns) { part in
            for r in part {
                let (gradient, y) = (row(r), output.row(r))
                for c in 0..<columns { gradient[c] = y[c] > 0 ? gradient[c] : 0 }
            }
        }
    }

    private func accumulateChannels(
        _ body: (UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>, Int) -> Void
    ) -> [Double] {
        sumInParallel(rows, width: 2 * columns, elements: columns) { part, totals in
            var block = [Float](repeating: 0, count: 2 * columns)
            for start in Swift.stride(from: part.lowerBound, to: part.upperBound, by: blockOfRows) {
                block.withUnsafeMutableBufferPointer { block in
                    block.update(repeating: 0)
                    for r in start..<min(part.upperBound, start + blockOfRows) {
                        body(block.baseAddress!, block.baseAddress! + columns, r)
                    }
                }
                for c in block.indices { totals[c] += Double(block[c]) }
            }
        }
    }
}
