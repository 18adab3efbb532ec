import Collectives
import Evaluation
import Foundation
import Tensors
import Testing

@Suite struct MinimiserTests {
    private struct Refusal: Error {}

    @Test func findsTheMinimumOfAQuadratic() throws {
        // sum of (i + 1)/2 (x_i - i)², least at x_i = i
        var settings = MinimiserSettings()
        settings.tolerance = 1e-9
        settings.smallestDecrease = 0
        let (x, iterations) = try minimise(from: Array(repeating: 1, count: 5), settings: settings) { x, gradient in
            var value = 0.0
            for i in x.indices {
                let (weight, difference) = (Double(i + 1), x[i] - Double(i))
                gradient[i] = weight * difference
                value += weight / 2 * difference * difference
            }
            return value
        }
        for i in 0..<5 { #expect(abs(x[i] - Double(i)) < 1e-7) }
        #expect((1...50).contains(iterations))
    }

    @Test(arguments: [1, 2, 5]) func throwsWhatTheFunctionThrows(failingCall: Int) {
        var calls = 0
        #expect(throws: Refusal.self) {
            _ = try minimise(from: [10, -10], settings: MinimiserSettings()) { x, gradient in
                calls += 1
                if calls == failingCall { throw Refusal() }
                // Rosenbrock's function needs many steps.
                let (a, b) = (x[0], x[1])
                gradient[0] = -400 * a * (b - a * a) - 2 * (1 - a)
                gradient[1] = 200 * (b - a * a)
                return 100 * (b - a * a) * (b - a * a) + (1 - a) * (1 - a)
            }
        }
        #expect(calls == failingCall)
    }
}

@Suite struct LogisticRegressionTests {
    /// As `Fixtures/logistic_regression.py` writes it.
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

    @Test func reachesTheOptimumThatNewtonFinds() throws {
        let url = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("Fixtures/logistic_regression.json")
        let fixture = try JSONDecoder().decode(Fixture.self, from: Data(contentsOf: url))
        let device = try Device()
        let rows = LabelledRows(
            values: device.tensor([fixture.labels.count, fixture.dimension], fixture.x), labels: fixture.labels)
        let regression = try LogisticRegression(
            [rows], dimension: fixture.dimension, classes: fixture.classes, ranks: SingleRank(), device: device)
        var settings = MinimiserSettings()
        settings.tolerance = 1e-6
        settings.smallestDecrease = 0
        let start = LogisticRegression.start(dimension: fixture.dimension, classes: fixture.classes)
        let (variables, _) = try regression.minimum(from: start, penalty: fixture.penalty, settings: settings)

        for (found, expected) in zip(variables, fixture.weights + fixture.bias) {
            #expect(abs(found - expected) < 1e-3, "found \(found), Newton \(expected)")
        }
        var gradient = [Double](repeating: 0, count: variables.count)
        let loss = try variables.withUnsafeBufferPointer { x in
            try gradient.withUnsafeMutableBufferPointer {
                try regression.evaluate(x, gradient: $0, penalty: fixture.penalty)
            }
        }
        #expect(abs(loss - fixture.loss) < 1e-6)
        #expect(gradient.allSatisfy { abs($0) < 2e-5 }, "\(gradient)")
    }

    @Test func gradientIsThatOfFiniteDifferences() throws {
        let device = try Device()
        let values: [Float] = [1, 2, -1, 0.5, 3, -2, 0, 1]
        let rows = LabelledRows(values: device.tensor([4, 2], values), labels: [0, 2, 1, 2])
        let regression = try LogisticRegression([rows], dimension: 2, classes: 3, ranks: SingleRank(), device: device)
        func loss(_ x: [Double]) throws -> (Double, [Double]) {
            var gradient = [Double](repeating: 0, count: x.count)
            let value = try x.withUnsafeBufferPointer { x in
                try gradient.withUnsafeMutableBufferPointer { try regression.evaluate(x, gradient: $0, penalty: 0.3) }
            }
            return (value, gradient)
        }
        let x = (0..<9).map { 0.3 * Double($0 % 4) - 0.4 }
        let gradient = try loss(x).1
        for i in x.indices {
            var (above, below) = (x, x)
            above[i] += 0.01
            below[i] -= 0.01
            let difference = try (loss(above).0 - loss(below).0) / 0.02
            #expect(abs(gradient[i] - difference) < 2e-4, "variable \(i): \(gradient[i]), differences \(difference)")
        }
    }
}
