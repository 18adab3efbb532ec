import Autodiff
import Collectives
import Foundation
import Objectives
import Tensors
import XCTest

/// The loss and its gradients on these ranks against float64 numpy, N = 37 images of 49 locations in 24 dimensions,
/// with scores up to ±10 and ±200. `Tests/Reference/objective.py --fixture` made the numbers.
final class ObjectiveFixtureTests: XCTestCase {
    private struct Case: Decodable {
        let reach: Int, scale: Double
        let estimator: Estimator, anchor: Anchor, compatibility: Compatibility
        let loss: Double
        let localsNorm: Double, globalsNorm: Double
        let localsProjections: [Double], globalsProjections: [Double]
    }

    /// The script's inputs and projections, from element `first` on.
    private func waves(_ range: Range<Int>, _ pace: Double, _ phase: Double, _ scale: Double) -> [Float] {
        range.map { i in Float(scale * (sin(pace * Double(i) + phase) + sin(pace * pace * Double(i)))) }
    }

    func testLossAndGradientsAreThoseOfNumPy() throws {
        let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures/objective.json")
        let cases = try JSONDecoder().decode([Case].self, from: Data(contentsOf: file))
        XCTAssertEqual(cases.count, 22)
        let (images, locations, dimensions) = (37, 49, 24)
        let ranks = World.ranks
        let shares = Shares(counts: World.shares(of: images), rank: ranks.rank)
        let rows = shares.first * locations..<(shares.first + shares.own) * locations
        let localRange = rows.lowerBound * dimensions..<rows.upperBound * dimensions
        let globalRange = shares.first * dimensions..<(shares.first + shares.own) * dimensions
        for item in cases {
            let label = "\(item.estimator) \(item.anchor) \(item.compatibility) ±\(item.reach), \(World.label)"
            let tolerance = item.reach == 10 ? 1e-5 : 1e-4
            let device = try Device()
            let locals = device.tensor([rows.count, dimensions], waves(localRange, 0.7, 0.3, item.scale))
            let globals = device.tensor([shares.own, dimensions], waves(globalRange, 1.9, 1.1, item.scale))
            let result = try ContrastiveLoss(item.estimator, anchor: item.anchor, compatibility: item.compatibility)(
                locals: [LocalFactor(values: locals, columns: 0..<dimensions)], globals: globals,
                locations: locations, shares: shares, device: device, ranks: ranks)
            XCTAssertEqual(
                try ranks.sum([result.loss])[0], item.loss, accuracy: tolerance * abs(item.loss), "loss, \(label)")
            for (name, gradient, range, norm, projections) in [
                ("locals", result.locals[0], localRange, item.localsNorm, item.localsProjections),
                ("globals", result.globals, globalRange, item.globalsNorm, item.globalsProjections),
            ] {
                let values = gradient.array.map(Double.init)
                let squares = try ranks.sum([values.reduce(0) { $0 + $1 * $1 }])[0]
                XCTAssertEqual(squares.squareRoot(), norm, accuracy: tolerance * norm, "norm by \(name), \(label)")
                for (k, expected) in projections.enumerated() {
                    let wave = waves(range, 0.5 + 0.1 * Double(k), Double(k), 1)
                    let part = zip(values, wave).reduce(0) { $0 + $1.0 * Double($1.1) }
                    // A wave's norm is about sqrt(elements): what an error of the tolerance could move.
                    let total = Double(name == "locals" ? images * locations * dimensions : images * dimensions)
                    XCTAssertEqual(
                        try ranks.sum([part])[0], expected, accuracy: tolerance * norm * total.squareRoot(),
                        "projection \(k) by \(name), \(label)")
                }
            }
        }
    }
}
