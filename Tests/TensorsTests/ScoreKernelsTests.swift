import Foundation
import Tensors
import Testing

/// The passes over scores against naive sums in Double, for column counts around the vector length.
@Suite struct ScoreKernelsTests {
    private static let columnCounts = [1, 15, 16, 17, 37]

    /// Scores in -20...20, by row.
    private func makeScores(rows: Int, columns: Int) -> [Float] {
        var stream = RandomStream(test: columns)
        return stream.numbers(rows * columns, in: -20...20)
    }

    private func column(_ index: Int, of scores: [Float], columns: Int) -> [Double] {
        stride(from: index, to: scores.count, by: columns).map { Double(scores[$0]) }
    }

    @Test(arguments: columnCounts)
    func softmaxOfRows(columns: Int) throws {
        var scores = makeScores(rows: 6, columns: columns)
        for c in 0..<columns {  // rows of very large and very small scores
            scores[c] += 1000
            scores[columns + c] -= 1000
        }
        var expected: [Double] = []
        var total = 0.0
        for r in 0..<6 {
            let row = scores[r * columns..<(r + 1) * columns].map(Double.init)
            let largest = row.max() ?? 0
            let sum = row.reduce(0) { $0 + exp($1 - largest) }
            total += largest + log(sum)
            expected += row.map { 3 * exp($0 - largest) / sum }
        }
        let tile = GappedMatrix(try Device(), rows: 6, columns: columns, values: scores)
        let found = tile.matrix.replaceBySoftmaxOfRows(scale: 3)
        expectClose([found], [total], within: 1e-6)
        expectClose(tile.values, expected, within: 1e-6)
        #expect(tile.gapsAreUntouched)
    }

    @Test func softmaxLeavesOutExcludedScores() throws {
        let tile = GappedMatrix(try Device(), rows: 1, columns: 4, values: [1, excludedScore, 1, excludedScore])
        let total = tile.matrix.replaceBySoftmaxOfRows(scale: 1)
        expectClose([total], [1 + log(2)], within: 1e-6)
        #expect(tile.values == [0.5, 0, 0.5, 0])
    }

    @Test(arguments: columnCounts)
    func columnSumsOfExponentialsInAnySplit(columns: Int) throws {
        let rows = 300
        var scores = makeScores(rows: rows, columns: columns)
        var stream = RandomStream(test: 1)
        func isWhollyExcluded(_ column: Int) -> Bool { column % 7 == 3 }
        for i in scores.indices where isWhollyExcluded(i % columns) || stream.uniform() < 0.1 {
            scores[i] = excludedScore
        }
        let largest = (0..<columns).map { c in column(c, of: scores, columns: columns).max() ?? 0 }
        let expected = (0..<columns).map { c in
            isWhollyExcluded(c)
                ? 0 : column(c, of: scores, columns: columns).reduce(0) { $0 + exp($1 - largest[c]) }
        }
        let tile = GappedMatrix(try Device(), rows: rows, columns: columns, values: scores)
        for split in [[300], [1, 299], [100, 0, 100, 100], [257, 43]] {
            var maxima = [Float](repeating: emptyMaximum, count: columns)
            var sums = [Double](repeating: 0, count: columns)
            var start = 0
            for count in split {
                tile.matrix[rows: start..<start + count].accumulateColumnSums(maxima: &maxima, sums: &sums)
                start += count
            }
            for c in 0..<columns {
                #expect(maxima[c] == (isWhollyExcluded(c) ? emptyMaximum : Float(largest[c])), "\(split), column \(c)")
                expectClose([sums[c]], [expected[c]], within: 1e-6, "\(split), column \(c)")
            }
        }
        #expect(tile.values == scores)
    }

    @Test(arguments: columnCounts)
    func exponentialsWithOffsets(columns: Int) throws {
        let device = try Device()
        var scores = makeScores(rows: 5, columns: columns)
        scores[scores.count / 2] = excludedScore
        var stream = RandomStream(test: 2)
        let offsets = device.tensor([columns], stream.numbers(columns, in: -30...0))
        let tile = GappedMatrix(device, rows: 5, columns: columns, values: scores)
        tile.matrix.replaceByExponentials(offsets: offsets.base)
        for (i, value) in tile.values.enumerated() {
            let sum = Double(scores[i]) + Double(offsets.base[i % columns])
            expectClose([value], [exp(sum)], within: 3e-6, "element \(i)")  // the float sum is off by up to 2^-19
        }
        #expect(tile.gapsAreUntouched)
    }

    @Test(arguments: columnCounts)
    func sigmoidAndSumOfSoftplus(columns: Int) throws {
        let scores = makeScores(rows: 9, columns: columns)
        let tile = GappedMatrix(try Device(), rows: 9, columns: columns, values: scores)
        let total = tile.matrix.replaceBySigmoid(scale: 0.25)
        expectClose([total], [scores.reduce(0) { $0 + log1p(exp(Double($1))) }], within: 1e-6)
        for (value, u) in zip(tile.values, scores) {
            expectClose([value], [0.25 / (1 + exp(-Double(u)))], within: 1e-6, "sigmoid(\(u))")
        }
        #expect(tile.gapsAreUntouched)
    }

    @Test func sigmoidOfExtremes() throws {
        let scores: [Float] = [1000, -1000, 0, excludedScore, 3e38]
        let tile = GappedMatrix(try Device(), rows: 1, columns: 4, values: Array(scores[..<4]))
        expectClose([tile.matrix.replaceBySigmoid(scale: 2)], [1000 + log(2)], within: 1e-6)
        #expect(tile.values == [2, 0, 1, 0])
        let largest = GappedMatrix(try Device(), rows: 1, columns: 1, values: [scores[4]])
        expectClose([largest.matrix.replaceBySigmoid(scale: 2)], [3e38], within: 1e-6)
        #expect(largest.values == [2])
    }

    @Test(arguments: columnCounts)
    func sumsOfColumns(columns: Int) throws {
        let scores = makeScores(rows: 700, columns: columns).map { $0 + 20 }
        let tile = GappedMatrix(try Device(), rows: 700, columns: columns, values: scores)
        let expected = (0..<columns).map { column($0, of: scores, columns: columns).reduce(0, +) }
        expectClose(tile.matrix.columnSums(), expected, within: 1e-6)
        #expect(tile.matrix[rows: 3..<3].columnSums() == Array(repeating: 0, count: columns))
    }

    @Test(arguments: columnCounts)
    func offsetsOfColumns(columns: Int) throws {
        let device = try Device()
        let tile = GappedMatrix(device, rows: 3, columns: columns, values: (0..<3 * columns).map(Float.init))
        let offsets = device.tensor([columns], (0..<columns).map { Float(1000 * $0) })
        tile.matrix.addToRows(offsets.base)
        let expected: [Float] = (0..<3 * columns).map { i in Float(i + 1000 * (i % columns)) }
        #expect(tile.values == expected)
        #expect(tile.gapsAreUntouched)
    }
}
