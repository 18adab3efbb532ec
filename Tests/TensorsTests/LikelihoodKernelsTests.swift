import Foundation
import Tensors
import Testing

@Suite struct LikelihoodKernelsTests {
    @Test(arguments: [1, 15, 16, 17, 37])
    func bernoulliSlopesAndSum(columns: Int) throws {
        let rows = 5
        var stream = RandomStream(test: columns)
        let logits = stream.numbers(rows * columns, in: -20...20)
        let targets = stream.numbers(rows * columns, in: 0...1)
        let device = try Device()
        let tile = GappedMatrix(device, rows: rows, columns: columns, values: logits)
        let target = GappedMatrix(device, rows: rows, columns: columns, values: targets)
        let total = tile.matrix.replaceByBernoulliSlopes(target: target.matrix, scale: 0.25)
        let pairs = zip(logits.map(Double.init), targets.map(Double.init))
        expectClose([total], [pairs.reduce(0) { $0 + log1p(exp($1.0)) - $1.1 * $1.0 }], within: 1e-6)
        expectClose(tile.values, pairs.map { 0.25 * (1 / (1 + exp(-$0)) - $1) }, within: 1e-6)
        #expect(tile.gapsAreUntouched)
        #expect(target.values == targets)
    }

    /// Precision that a sum of softplus minus a sum of products would lose.
    @Test func certainLogitsKeepSmallLosses() throws {
        let device = try Device()
        let logits: [Float] = [1000, -1000, 1e30, -1e30, 12, -12, 1000]
        let targets: [Float] = [1, 0, 1, 0, 1, 0, 0]
        let tile = GappedMatrix(device, rows: 7, columns: 1, values: logits)
        let target = GappedMatrix(device, rows: 7, columns: 1, values: targets)
        let certain = tile.matrix[rows: 0..<6].replaceByBernoulliSlopes(target: target.matrix[rows: 0..<6], scale: 1)
        expectClose([certain], [2 * log1p(exp(-12))], within: 1e-6)
        #expect(Array(tile.values[..<4]) == [0, 0, 0, 0])
        let wrong = tile.matrix[rows: 6..<7].replaceByBernoulliSlopes(target: target.matrix[rows: 6..<7], scale: 1)
        #expect(wrong == 1000)
        #expect(tile.values[6] == 1)
    }

    @Test(arguments: [1, 16, 37])
    func exponentialsOfMultiples(count: Int) throws {
        let device = try Device()
        var stream = RandomStream(test: 3)
        let x = stream.numbers(count, in: -20...20)
        let result = device.tensor([count])
        result.setToExponential(of: device.tensor([count], x), times: 0.5)
        for (value, argument) in zip(result.array, x) {
            expectClose([value], [exp(Double(argument) / 2)], within: 1e-6)
        }
    }

    @Test func leakyRectifierScalesWhatIsNotPositive() throws {
        let device = try Device()
        let values = device.tensor([5], [1, -1, 0, -2.5, 3])
        values.scale(by: 0.25, whereNotPositive: values)
        #expect(values.array == [1, -0.25, 0, -0.625, 3])
        values.scale(by: 0.5, whereNotPositive: device.tensor([5], [-1, 1, 0, 1, .nan]))
        #expect(values.array == [0.5, -0.25, 0, -0.625, 1.5])
    }
}
