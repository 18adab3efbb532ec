// Passes over the rows of a weight matrix, with one number for each row.

extension Matrix {
    /// The inner product of each row with the same row of `other`.
    package func rowProducts(_ other: Matrix) -> [Double] {
        (0..<rows).map { r in
            let (a, b) = (row(r), other.row(r))
            var sums = SIMD16<Double>(repeating: 0)
            for c in Swift.stride(from: 0, to: columns, by: 16) {
                sums +=
                    SIMD16<Double>(a.part(at: c, count: columns, filler: 0))
                    * SIMD16<Double>(b.part(at: c, count: columns, filler: 0))
            }
            return sums.sum()
        }
    }

    /// Row r becomes `factors[r]` times row r of `other`, which may be this one.
    package func setRows(of other: Matrix, times factors: [Float]) {
        for r in 0..<rows {
            let (source, factor) = (other.row(r), factors[r])
            row(r).replaceVectors(count: columns) { _, c in
                factor * source.part(at: c, count: columns, filler: 0)
            }
        }
    }

    /// Adds `factors[r]` times row r of `other` to row r.
    package func addRows(of other: Matrix, times factors: [Float]) {
        for r in 0..<rows {
            let (source, factor) = (other.row(r), factors[r])
            row(r).replaceVectors(count: columns) { own, c in
                own + factor * source.part(at: c, count: columns, filler: 0)
            }
        }
    }

    /// Adds `factors[r]` times the same `row` to each row r.
    package func addToRows(_ row: UnsafeMutablePointer<Float>, times factors: [Float]) {
        addRows(of: Matrix(base: row, rows: rows, columns: columns, stride: 0), times: factors)
    }

    /// Element `index` of each row.
    package func column(_ index: Int) -> [Float] { (0..<rows).map { row($0)[index] } }
}
