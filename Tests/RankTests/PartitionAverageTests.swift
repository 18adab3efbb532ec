import Autodiff
import Collectives
import Foundation
import Objectives
import Tensors
import XCTest

/// MINE's moving average: one value on every rank, and what the gradient divides by.
final class PartitionAverageTests: XCTestCase {
    private let ranks = World.ranks
    private let rate = 0.25

    func testFollowsTheGlobalMeanAndDividesTheGradient() throws {
        var loss = ContrastiveLoss(.donskerVaradhan)
        let average = PartitionAverage(rate: rate)
        loss.partition = average
        let device = try Device()
        var expected: Double?
        for scale in [0.5, 1.5, 6] {
            let batch = randomBatch(images: 7, locations: 1, dimensions: 3, scale: scale)
            let (n, d) = (batch.images, batch.dimensions)
            let off = (0..<n).flatMap { i in (0..<n).filter { $0 != i }.map { (i, $0) } }
            let mean = off.reduce(0) { $0 + exp(batch.score($1.0, $1.1, 0)) } / Double(off.count)
            let denominator = expected.map { (1 - rate) * $0 + rate * mean } ?? mean
            expected = denominator

            let shares = Shares(counts: World.shares(of: n), rank: ranks.rank)
            let own = shares.first * d..<(shares.first + shares.own) * d
            let result = try loss(
                locals: [
                    LocalFactor(
                        values: device.tensor([shares.own, d], batch.locals[own].map { Float($0) }), columns: 0..<d)
                ], globals: device.tensor([shares.own, d], batch.globals[own].map { Float($0) }), locations: 1,
                shares: shares, device: device, ranks: ranks)

            let label = "scale \(scale), \(World.label)"
            let found = try XCTUnwrap(average.logarithm)
            XCTAssertEqual(found, log(denominator), accuracy: 1e-5, label)
            let bits = try ranks.gather([found.bitPattern], filler: 0)
            XCTAssertEqual(Set(bits).count, 1, "ranks have averages of their own, \(label)")
            // dloss/du: -1/N of a pair, e^u/(average·N(N - 1)) of others
            for row in 0..<shares.own {
                let j = shares.first + row
                for k in 0..<d {
                    let slope = (0..<n).reduce(0.0) { sum, i in
                        let byScore =
                            i == j ? -1 / Double(n) : exp(batch.score(i, j, 0)) / denominator / Double(off.count)
                        return sum + byScore * batch.globals[i * d + k]
                    }
                    XCTAssertEqual(
                        Double(result.locals[0].matrix.row(row)[k]), slope, accuracy: 1e-4 * max(1, abs(slope)), label)
                }
            }
        }
    }
}
