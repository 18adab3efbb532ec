import Autodiff
import Collectives
import Objectives
import Tensors
import XCTest

/// The messages of a step of each loss of several views, against the formulas of their page. Of P ranks, each sends and
/// receives about (P - 1)/P of these bytes in a gather or a scattered sum, and twice that in a sum.
final class ViewBytesTests: XCTestCase {
    private static let images = 10, width = 6

    /// Bytes of forward and backward of a loss of some views.
    private func bytes(
        views: Int, _ loss: (Tape, [Variable]) throws -> Variable
    ) throws -> (gathered: Int, summed: Int, scattered: Int) {
        let ranks = CountedRanks(World.ranks)
        let device = try Device()
        let shares = Shares(counts: World.shares(of: Self.images), rank: ranks.rank)
        let tape = Tape(device: device, ranks: ranks, shares: shares)
        let inputs = (0..<views).map { view -> Variable in
            var stream = RandomStream(seed: 3, purpose: .synthetic, sample: view, part: ranks.rank)
            let values = (0..<shares.own * Self.width).map { _ in stream.normal() }
            let gradient = device.tensor([shares.own, Self.width])
            return tape.parameter(device.tensor([shares.own, Self.width], values), gradient: gradient)
        }
        try tape.backward(from: loss(tape, inputs))
        return (ranks.gathered, ranks.summed, ranks.scattered)
    }

    private func check(
        _ name: String, views: Int, gathered: Int = 0, summed: Int = 0, scattered: Int = 0,
        _ loss: (Tape, [Variable]) throws -> Variable
    ) throws {
        let found = try bytes(views: views, loss)
        XCTAssertEqual(found.gathered, gathered, "\(name), gathered")
        XCTAssertEqual(found.summed, summed, "\(name), summed")
        XCTAssertEqual(found.scattered, scattered, "\(name), scattered")
    }

    func testBytesAreThoseOfTheFormulas() throws {
        let (n, d) = (Self.images, Self.width)
        try check("NT-Xent", views: 2, gathered: 4 * (2 * n * d + 2 * n)) {
            try $0.ntXent($0.unitRows($1[0]), $0.unitRows($1[1]), temperature: 0.5)
        }
        // Two large views, and the small ones together.
        try check("means", views: 5, gathered: 3 * 4 * n * d, scattered: 3 * 4 * n * d) { tape, inputs in
            let z = inputs.map(tape.unitRows)
            return try tape.contrastWithMeans(large: Array(z[..<2]), small: Array(z[2...]), temperature: 0.5)
        }
        // Two batch norms, forward and backward, and the correlations.
        try check("Barlow Twins", views: 2, summed: 2 * 8 * (2 * d + 1 + 2 * d) + 4 * d * d) {
            try $0.barlowTwins($1[0], $1[1], redundancyWeight: 0.1)
        }
        try check("VICReg", views: 2, summed: 8 * 2 * d + 4 * 2 * d * d) { tape, inputs in
            let terms = try tape.varianceAndCovariance(inputs)
            return tape.weightedSum([
                (terms.variance, 1), (terms.covariance, 1), (tape.meanSquaredDifference(inputs[0], inputs[1]), 1),
            ])
        }
        try check("coding rate", views: 3, summed: 3 * 4 * d * d) { tape, inputs in
            try tape.negativeCodingRate(inputs.map(tape.unitRows), distortion: 0.2)
        }
        try check("SimSiam and BYOL", views: 2) { $0.negativeCosine($1[0], $1[1]) }
        try check("queue", views: 1) { tape, inputs in
            let keys = tape.device.tensor(inputs[0].shape, filledWith: 0)
            return try tape.queueContrast(
                tape.unitRows(inputs[0]), keys: keys, queue: tape.device.tensor([4, Self.width], filledWith: 0),
                temperature: 0.1)
        }
        try check("cross-entropy", views: 1, summed: 8) {
            try $0.labelledCrossEntropy($1[0], labels: Array(repeating: 1, count: $0.shares.own))
        }
        try check("deviation", views: 1, summed: 8 * (2 * d + 1)) {
            $0.weightedSum([(try $0.codeDeviation($1[0]), 1), ($0.meanSquaredNorm($1[0]), 1)])
        }
    }
}
