import Foundation
import Layers
import Tensors
import Testing

@Suite struct AdamTests {
    @Test func fiveStepsAgreeWithTheAlgorithm() throws {
        let device = try Device()
        let declarations = Declarations()
        let shapes = [[3], [4, 5]]
        for (index, shape) in shapes.enumerated() {
            _ = declarations.parameter("p\(index)", shape, .uniform(fanIn: 4))
        }
        let parameters = ParameterSet(declarations, device: device, seed: 3)
        var settings = OptimiserSettings()
        settings.rate = 0.1
        settings.beta1 = 0.8
        settings.beta2 = 0.95
        settings.epsilon = 1e-3
        settings.schedule = .cosine
        settings.warmupSteps = 3
        let adam = Adam(settings, parameters: parameters, device: device)

        var theta = parameters.parameters.map { $0.value.array.map(Double.init) }
        var m = theta.map { $0.map { _ in 0.0 } }
        var v = m
        for t in 1...5 {
            let warmup = [1.0 / 3, 2.0 / 3, 1, 1, 1][t - 1]
            let rate = 0.1 * warmup * (1 + cos(Double.pi * Double(t - 1) / 5)) / 2
            for (k, parameter) in parameters.parameters.enumerated() {
                let g = normals(parameter.value.count, 10 * t + k)
                _ = parameter.gradient.elements.update(fromContentsOf: g)
                for i in g.indices {
                    m[k][i] = 0.8 * m[k][i] + 0.2 * Double(g[i])
                    v[k][i] = 0.95 * v[k][i] + 0.05 * Double(g[i]) * Double(g[i])
                    let mean = m[k][i] / (1 - pow(0.8, Double(t)))
                    let square = v[k][i] / (1 - pow(0.95, Double(t)))
                    theta[k][i] -= rate * mean / (square.squareRoot() + 1e-3)
                }
            }
            adam.update(parameters, rate: settings.rate(at: t - 1, of: 5))
            #expect(adam.updates == t)
            for (k, parameter) in parameters.parameters.enumerated() {
                expectClose(parameter.value.array, theta[k], within: 2e-6, "step \(t), parameter \(k)")
            }
        }
        expectClose(Array(adam.mean.array[..<3]), m[0], within: 1e-6)
        expectClose(Array(adam.square.array[..<3]), v[0], within: 1e-6)
        #expect(parameters.values.array[3..<16].allSatisfy { $0 == 0 })  // the gap between the two
    }

    @Test func theFirstStepIsTheRate() throws {
        let device = try Device()
        let declarations = Declarations()
        let parameter = declarations.parameter("p", [3], .constant(1))
        let parameters = ParameterSet(declarations, device: device, seed: 1)
        let adam = Adam(OptimiserSettings(), parameters: parameters, device: device)
        _ = parameter.gradient.elements.update(fromContentsOf: [5, -0.01, 0])
        adam.update(parameters, rate: 0.25)
        expectClose(parameter.value.array, [0.75, 1.25, 1], within: 3e-6)  // 1 - 0.999 in float32 is off by 1.3e-5
    }

    @Test func schedules() {
        var settings = OptimiserSettings()
        settings.rate = 8
        settings.warmupSteps = 4
        #expect([0, 1, 3, 4, 99].map { settings.rate(at: $0, of: 100) } == [2, 4, 8, 8, 8])
        settings.schedule = .cosine
        settings.warmupSteps = 0
        let rates = [0, 25, 50, 100].map { settings.rate(at: $0, of: 100) }
        for (rate, expected) in zip(rates, [8, 4 + 2 * 2.0.squareRoot(), 4, 0]) {
            #expect(abs(rate - expected) < 1e-12)
        }
        settings.warmupSteps = 100
        #expect(abs(settings.rate(at: 49, of: 98) - 2) < 1e-12)  // half by the warm-up, half by the cosine
    }
}
