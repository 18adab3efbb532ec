import Autodiff
import Collectives
import Foundation
import Layers
import Objectives
import Tensors
import Testing

/// The three losses and their gradients against the formulas in Double. The penalty's gradient is a second derivative
/// of the discriminator.
@Suite struct PriorMatchingTests {
    private static let images = 5, width = 3, hidden = (first: 9, second: 7), seed: UInt64 = 4, step = 3

    private enum Part: CaseIterable {
        case encoder, discriminator, penalty

        func value(_ losses: PriorMatching.Losses) -> Variable {
            switch self {
            case .encoder: losses.encoder
            case .discriminator: losses.discriminator
            case .penalty: losses.penalty
            }
        }
    }

    /// The discriminator and what it is shown, in Double.
    private struct Reference {
        var weights: [String: [Double]]
        var codes: [[Double]]
        let settings: PriorSettings

        private func layer(_ x: [Double], _ name: String) -> [Double] {
            let weight = weights["discriminator.\(name).weight"] ?? []
            return (weights["discriminator.\(name).bias"] ?? []).enumerated().map { u, bias in
                x.indices.reduce(bias) { $0 + weight[u * x.count + $1] * x[$1] }
            }
        }

        private func score(_ x: [Double]) -> Double {
            layer(layer(layer(x, "first").map { max($0, 0) }, "second").map { max($0, 0) }, "last")[0]
        }

        /// |∇D(x)|² by central differences.
        private func squaredGradient(_ x: [Double]) -> Double {
            x.indices.reduce(0) { sum, c in
                var (above, below) = (x, x)
                above[c] += 1e-4
                below[c] -= 1e-4
                let slope = (score(above) - score(below)) / 2e-4
                return sum + slope * slope
            }
        }

        func loss(_ part: Part) -> Double {
            func softplus(_ x: Double) -> Double { log(1 + exp(x)) }
            let isUniform = settings.distribution == .uniform
            let fake = codes.map { $0.map { isUniform ? 1 / (1 + exp(-$0)) : $0 } }
            let real = codes.indices.map { i in
                var stream = RandomStream(seed: PriorMatchingTests.seed, purpose: .prior, step: step, sample: i)
                return (0..<width).map { _ in Double(isUniform ? stream.uniform() : stream.normal()) }
            }
            func mean(_ samples: [[Double]], _ value: ([Double]) -> Double) -> Double {
                samples.map(value).reduce(0, +) / Double(samples.count)
            }
            return switch part {
            case .encoder: mean(fake) { softplus(-score($0)) }
            case .discriminator: mean(real) { softplus(-score($0)) } + mean(fake) { softplus(score($0)) }
            case .penalty: mean(real, squaredGradient) + mean(fake, squaredGradient)
            }
        }
    }

    @Test(arguments: PriorSettings.Distribution.allCases)
    func lossesAndGradientsAreThoseOfTheFormulas(distribution: PriorSettings.Distribution) throws {
        var settings = PriorSettings()
        settings.distribution = distribution
        let device = try Device()
        let declare = Declarations()
        let prior = PriorMatching(declare, code: Self.width, hidden: Self.hidden, settings: settings)
        let parameters = ParameterSet(declare, device: device, seed: 2)
        for parameter in parameters.parameters { parameter.value.scale(by: 2) }
        var stream = RandomStream(seed: 8, purpose: .synthetic)
        let code = device.tensor(
            [Self.images, Self.width], (0..<Self.images * Self.width).map { _ in stream.normal() })
        let codeGradient = device.tensor(code.shape)
        var reference = Reference(
            weights: Dictionary(
                uniqueKeysWithValues: parameters.parameters.map { ($0.name, $0.value.array.map(Double.init)) }),
            codes: (0..<Self.images).map { i in (0..<Self.width).map { Double(code.base[i * Self.width + $0]) } },
            settings: settings)

        for part in Part.allCases {
            let tape = Tape(device: device, ranks: SingleRank(), shares: Shares(counts: [Self.images], rank: 0))
            let loss = part.value(
                try prior(
                    tape, code: tape.parameter(code, gradient: codeGradient),
                    random: RandomStreams(seed: Self.seed, step: Self.step)))
            let expected = reference.loss(part)
            #expect(abs(Double(loss.value.base[0]) - expected) < 1e-5 * max(expected, 1), "\(part)")
            try tape.backward(from: loss)
            // Each player has its own gradient: the encoder's loss moves the codes alone, the others the discriminator.
            for parameter in parameters.parameters {
                let differences = parameter.value.array.indices.map { i in
                    slope { step in
                        reference.weights[parameter.name]?[i] += step
                        defer { reference.weights[parameter.name]?[i] -= step }
                        return reference.loss(part)
                    }
                }
                expect(
                    parameter.gradient.array, part == .encoder ? differences.map { _ in 0 } : differences,
                    "\(part) by \(parameter.name)")
            }
            let differences = (0..<Self.images * Self.width).map { k in
                slope { step in
                    reference.codes[k / Self.width][k % Self.width] += step
                    defer { reference.codes[k / Self.width][k % Self.width] -= step }
                    return reference.loss(part)
                }
            }
            expect(
                codeGradient.array, part == .encoder ? differences : differences.map { _ in 0 }, "\(part) by the codes")
        }
    }

    private func slope(_ loss: (_ step: Double) -> Double) -> Double { (loss(1e-5) - loss(-1e-5)) / 2e-5 }

    private func expect(_ found: [Float], _ expected: [Double], _ label: String) {
        let size = max(expected.map(abs).max() ?? 0, 1e-3)
        for (a, b) in zip(found, expected) { #expect(abs(Double(a) - b) < 1e-3 * size, "\(label): \(a), \(b)") }
    }
}
