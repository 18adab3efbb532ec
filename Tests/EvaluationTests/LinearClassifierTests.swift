import Collectives
import Evaluation
import Foundation
import Tensors
import Testing

@Suite struct LinearClassifierTests {
    /// As the scripts in `Fixtures` write it.
    private struct Fixture: Decodable {
        let penalty: Double
        let dimension: Int
        let classes: Int
        let x: [Float]
        let labels: [Int]
        let weights: [Double]
        let bias: [Double]
        let loss: Double
    }

    @Test(arguments: [(LinearLoss.logistic, "logistic_regression"), (.squaredHinge, "support_vectors")])
    func reachesTheOptimumThatOthersFind(loss: LinearLoss, file: String) throws {
        let url = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("Fixtures/\(file).json")
        let fixture = try JSONDecoder().decode(Fixture.self, from: Data(contentsOf: url))
        let device = try Device()
        let rows = LabelledRows(
            values: device.tensor([fixture.labels.count, fixture.dimension], fixture.x), labels: fixture.labels)
        let classifier = try LinearClassifier(
            loss, [rows], dimension: fixture.dimension, classes: fixture.classes, ranks: SingleRank(), device: device)
        var settings = MinimiserSettings()
        settings.tolerance = 1e-6
        settings.smallestDecrease = 0
        let start = LinearClassifier.start(dimension: fixture.dimension, classes: fixture.classes)
        let variables = try classifier.minimum(from: start, penalty: fixture.penalty, settings: settings).variables

        for (found, expected) in zip(variables, fixture.weights + fixture.bias) {
            #expect(abs(found - expected) < 1e-3, "found \(found), expected \(expected)")
        }
        var gradient = [Double](repeating: 0, count: variables.count)
        let value = try variables.withUnsafeBufferPointer { x in
            try gradient.withUnsafeMutableBufferPointer {
                try classifier.evaluate(x, gradient: $0, penalty: fixture.penalty)
            }
        }
        #expect(abs(value - fixture.loss) < 1e-6)
        #expect(gradient.allSatisfy { abs($0) < 2e-4 }, "\(gradient)")
    }

    @Test(arguments: [LinearLoss.logistic, .squaredHinge]) func gradientIsThatOfFiniteDifferences(loss: LinearLoss)
        throws
    {
        let device = try Device()
        let values: [Float] = [1, 2, -1, 0.5, 3, -2, 0, 1]
        let rows = LabelledRows(values: device.tensor([4, 2], values), labels: [0, 2, 1, 2])
        let classifier = try LinearClassifier(
            loss, [rows], dimension: 2, classes: 3, ranks: SingleRank(), device: device)
        func evaluate(_ x: [Double]) throws -> (Double, [Double]) {
            var gradient = [Double](repeating: 0, count: x.count)
            let value = try x.withUnsafeBufferPointer { x in
                try gradient.withUnsafeMutableBufferPointer { try classifier.evaluate(x, gradient: $0, penalty: 0.3) }
            }
            return (value, gradient)
        }
        let x = (0..<9).map { 0.1 * Double($0 % 4) - 0.13 }  // no margin near 1, where the hinge has its kink
        let gradient = try evaluate(x).1
        for i in x.indices {
            var (above, below) = (x, x)
            above[i] += 0.01
            below[i] -= 0.01
            let difference = try (evaluate(above).0 - evaluate(below).0) / 0.02
            #expect(abs(gradient[i] - difference) < 2e-4, "variable \(i): \(gradient[i]), differences \(difference)")
        }
    }
}
