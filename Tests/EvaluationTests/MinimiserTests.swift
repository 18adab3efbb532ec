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
        let quadratic: ValueAndGradient = { x, gradient in
            var value = 0.0
            for i in x.indices {
                let (weight, difference) = (Double(i + 1), x[i] - Double(i))
                gradient[i] = weight * difference
                value += weight / 2 * difference * difference
            }
            return value
        }
        let found = try minimise(from: Array(repeating: 1, count: 5), settings: settings, evaluate: quadratic)
        for i in 0..<5 { #expect(abs(found.x[i] - Double(i)) < 1e-7) }
        #expect((1...50).contains(found.iterations))
        #expect(!found.isOutOfSteps)
        settings.iterations = 2
        let cut = try minimise(from: Array(repeating: 1, count: 5), settings: settings, evaluate: quadratic)
        #expect(cut.iterations == 2)
        #expect(cut.isOutOfSteps)
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
