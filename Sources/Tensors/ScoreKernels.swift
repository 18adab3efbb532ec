// Passes over a tile of scores: rows are local positions, columns are globals. Sums of many terms are moved to Double
// after at most a few hundred, so that the precision doesn't depend on the number of rows.

/// A score whose exponential is always 0: far below `emptyMaximum`.
package let excludedScore: Float = -3e38
/// The maximum of an empty set of scores.
package let emptyMaximum: Float = -1e30

private let blockOfRows = 256
private let stripOfColumns = 512

extension Matrix {
    /// Replaces every row u by `scale`·softmax(u). Returns the sum over rows of logSumExp(u).
    package func replaceBySoftmaxOfRows(scale: Float) -> Double {
        sumInParallel(rows, width: 1, elements: columns) { part, total in
            for r in part {
                let row = row(r)
                var maxima = Vector(repeating: emptyMaximum)
                row.forEachVector(count: columns, filler: emptyMaximum) { maxima = larger(maxima, $0) }
                let maximum = maxima.max()
                var sums = Vector(repeating: 0)
                row.replaceVectors(count: columns, filler: excludedScore) { u, _ in
                    let e = exponential(u - maximum)
                    sums += e
                    return e
                }
                let sum = sums.sum()
                total[0] += Double(maximum) + Double(sum).logarithm
                let factor = scale / sum
                row.replaceVectors(count: columns) { e, _ in e * factor }
            }
        }[0]
    }

    /// ln of the sum of e^u over each row.
    package func logSumExpOfRows() -> [Double] {
        var result = [Double](repeating: 0, count: rows)
        result.withUnsafeMutableBufferPointer { result in
            guard let result = result.baseAddress else { return }
            inParallel(rows, elements: columns) { part in
                for r in part {
                    let row = row(r)
                    var maxima = Vector(repeating: emptyMaximum)
                    row.forEachVector(count: columns, filler: emptyMaximum) { maxima = larger(maxima, $0) }
                    let maximum = maxima.max()
                    var sums = Vector(repeating: 0)
                    row.forEachVector(count: columns, filler: excludedScore) { sums += exponential($0 - maximum) }
                    result[r] = Double(maximum) + Double(sums.sum()).logarithm
                }
            }
        }
        return result
    }

    /// Replaces every score u of row r and column c by scale·(e^(u - rowOffsets[r]) + e^(u - columnOffsets[c])).
    package func replaceByExponentials(
        rowOffsets: UnsafeMutablePointer<Float>, columnOffsets: UnsafeMutablePointer<Float>, scale: Float
    ) {
        inParallel(rows, elements: columns) { part in
            for r in part {
                let offset = rowOffsets[r]
                row(r).replaceVectors(count: columns, filler: excludedScore) { u, c in
                    let column = columnOffsets.part(at: c, count: columns, filler: 0)
                    return scale * (exponential(u - offset) + exponential(u - column))
                }
            }
        }
    }

    /// Raises `maxima`, one for each column from `first` on, to the largest score of each column. Rescales `sums`, the
    /// sums of e^(u - maximum), to the new maxima, and adds this tile's.
    package func accumulateColumnSums(maxima: inout [Float], sums: inout [Double], from first: Int = 0) {
        maxima.withUnsafeMutableBufferPointer { maxima in
            sums.withUnsafeMutableBufferPointer { sums in
                guard let maxima = maxima.baseAddress.map({ $0 + first }),
                    let sums = sums.baseAddress.map({ $0 + first })
                else { return }
                // Threads take whole vectors of columns, with all rows, in strips that stay in a cache between the
                // maxima and the sums.
                inParallel(columns, step: 16, elements: rows) { part in
                    for start in Swift.stride(from: part.lowerBound, to: part.upperBound, by: stripOfColumns) {
                        let strip = start..<min(start + stripOfColumns, part.upperBound)
                        self[columns: strip].accumulateColumnSums(maxima: maxima + start, sums: sums + start)
                    }
                }
            }
        }
    }

    private func accumulateColumnSums(maxima: UnsafeMutablePointer<Float>, sums: UnsafeMutablePointer<Double>) {
        let old = Array(UnsafeBufferPointer(start: maxima, count: columns))
        for r in 0..<rows {
            let row = row(r)
            maxima.replaceVectors(count: columns, filler: emptyMaximum) { maximum, i in
                larger(maximum, row.part(at: i, count: columns, filler: excludedScore))
            }
        }
        for c in 0..<columns { sums[c] *= Double(old[c] - maxima[c]).exponential }
        var block = [Float](repeating: 0, count: columns)
        for start in Swift.stride(from: 0, to: rows, by: blockOfRows) {
            block.withUnsafeMutableBufferPointer { block in
                block.update(repeating: 0)
                for r in start..<min(rows, start + blockOfRows) {
                    let row = row(r)
                    block.baseAddress!.replaceVectors(count: columns) { sum, i in
                        sum
                            + exponential(
                                row.part(at: i, count: columns, filler: excludedScore)
                                    - maxima.part(at: i, count: columns, filler: 0))
                    }
                }
            }
            for c in 0..<columns { sums[c] += Double(block[c]) }
        }
    }

    /// Replaces every score u of column i by e^(u + offsets[i]).
    package func replaceByExponentials(offsets: UnsafeMutablePointer<Float>) {
        inParallel(rows, elements: columns) { part in
            for r in part {
                row(r).replaceVectors(count: columns, filler: excludedScore) { u, i in
                    exponential(u + offsets.part(at: i, count: columns, filler: 0))
                }
            }
        }
    }

    /// Replaces every score u by `scale`·sigmoid(u). Returns the sum of softplus(u) = ln(1 + e^u).
    package func replaceBySigmoid(scale: Float) -> Double {
        sumInParallel(rows, width: 1, elements: columns) { part, total in
            for r in part {
                var sums = Vector(repeating: 0)
                row(r).replaceVectors(count: columns, filler: excludedScore) { u, _ in
                    let positive = larger(u, Vector(repeating: 0))
                    let e = exponential(u - positive - positive)  // e^-|u|
                    sums += positive + logarithmOfOnePlus(e)
                    return Vector(repeating: scale).replacing(with: scale * e, where: u .< 0) / (e + 1)
                }
                total[0] += Double(sums.sum())
            }
        }[0]
    }

    /// Replaces every score u, of a class that its row isn't in, by `scale` times the slope of max(0, 1 + u)². Returns
    /// the sum of max(0, 1 + u)².
    package func replaceBySquaredHinge(scale: Float) -> Double {
        sumInParallel(rows, width: 1, elements: columns) { part, total in
            for r in part {
                var sums = Vector(repeating: 0)
                row(r).replaceVectors(count: columns, filler: excludedScore) { u, _ in
                    let slack = larger(u + 1, Vector(repeating: 0))
                    sums += slack * slack
                    return slack * (2 * scale)
                }
                total[0] += Double(sums.sum())
            }
        }[0]
    }

    /// Adds `offsets[i]` to column i.
    package func addToRows(_ offsets: UnsafeMutablePointer<Float>) {
        inParallel(rows, elements: columns) { part in
            for r in part {
                row(r).replaceVectors(count: columns) { u, i in u + offsets.part(at: i, count: columns, filler: 0) }
            }
        }
    }

    /// The sum of each column.
    package func columnSums() -> [Double] {
        sumInParallel(rows, width: columns, elements: columns) { part, sums in
            var block = [Float](repeating: 0, count: columns)
            for start in Swift.stride(from: part.lowerBound, to: part.upperBound, by: blockOfRows) {
                block.withUnsafeMutableBufferPointer { block in
                    block.update(repeating: 0)
                    for r in start..<min(part.upperBound, start + blockOfRows) {
                        let row = row(r)
                        block.baseAddress!.replaceVectors(count: columns) { sum, i in
                            sum + row.part(at: i, count: columns, filler: 0)
                        }
                    }
                }
                for c in 0..<columns { sums[c] += Double(block[c]) }
            }
        }
    }
}

extension UnsafeMutablePointer<Float> {
    /// The vector at `index` of a row of `count` elements; beyond its end there is `filler`.
    @inline(__always)
    func part(at index: Int, count: Int, filler: Float) -> Vector {
        index + 16 <= count
            ? vector(at: index) : partialVector(at: index, count: count - index, filler: filler)
    }

    @inline(__always)
    func forEachVector(count: Int, filler: Float, _ body: (Vector) -> Void) {
        for i in Swift.stride(from: 0, to: count, by: 16) { body(part(at: i, count: count, filler: filler)) }
    }
}
