import Collectives
import Layers
import Tensors
import Testing

/// Updates of a weight and a bias against `torch.optim.SGD`, `torch.optim.AdamW` (PyTorch 2.13) and the formula of
/// solo-learn's LARS, all on gradients of four steps.
@Suite struct OptimiserTests {
    private let weight: [Float] = [1, -2, 0.5, 3]
    private let bias: [Float] = [1, -1]

    private func settings(_ kind: OptimiserKind, rate: Double, decay: Double, nesterov: Bool = false)
        -> OptimiserSettings
    {
        var settings = OptimiserSettings()
        settings.kind = kind
        settings.rate = rate
        settings.weightDecay = decay
        settings.nesterov = nesterov
        settings.warmupSteps = 0
        return settings
    }

    /// Weight and bias after four steps, which update the elements in these ranges one after the other.
    private func result(_ settings: OptimiserSettings, ranges: [Range<Int>]) throws -> [Float] {
        let declare = Declarations()
        let (group, _) = declare.group("model", .descends(settings)) {
            [$0.parameter("weight", [2, 2], .constant(0)), $0.parameter("bias", [2], .constant(0))]
        }
        _ = ParameterStore(declare, device: try Device(), seed: 1)
        let parameters = group.parameters.parameters
        _ = parameters[0].value.elements.update(fromContentsOf: weight)
        _ = parameters[1].value.elements.update(fromContentsOf: bias)
        for step in 0..<4 {
            let t = Float(step)
            _ = parameters[0].gradient.elements.update(fromContentsOf: [0.1 * (t + 1), -0.2, 0.3, -0.1 * t])
            _ = parameters[1].gradient.elements.update(fromContentsOf: [0.5, -0.25 * t])
            let sums = ranges.map { group.normSums(in: [$0]) }
            let whole = sums[0].indices.map { index in sums.reduce(0) { $0 + $1[index] } }
            group.update(at: step, of: 4, sums: whole, in: ranges)
        }
        #expect(group.updates == 4)
        return parameters[0].value.array + parameters[1].value.array
    }

    @Test func stepsAreThoseOfPyTorch() throws {
        for (settings, expected) in [
            (settings(.sgd, rate: 0.1, decay: 0), [0.81441, -1.81902, 0.22853, 3.0951, 0.54755, -0.76225]),
            (
                settings(.sgd, rate: 0.1, decay: 0.05, nesterov: true),
                [0.675683, -1.640798, 0.110864, 2.965115, 0.392795, -0.636025]
            ),
            (settings(.sgd, rate: 0.1, decay: 0.05), [0.770489, -1.7306, 0.208149, 2.96011, 0.54755, -0.76225]),
            (settings(.adam, rate: 0.1, decay: 0.2), [0.545628, -1.456577, 0.073025, 3.006921]),
            (settings(.lars, rate: 0.3, decay: 0.05), [0.739416, -1.67818, 0.151362, 2.938764]),
        ] as [(OptimiserSettings, [Double])] {
            let found = try result(settings, ranges: [0..<32])
            expectClose(Array(found[..<expected.count]), expected, within: 2e-6, "\(settings.kind)")
            // A part at a time, as ranks of a node divide it.
            let parted = try result(settings, ranges: [0..<16, 16..<32])
            #expect(parted == found, "\(settings.kind)")
        }
    }

    /// Biases have no trust ratio: they move as with SGD.
    @Test func biasesMoveByTheRate() throws {
        let (lars, sgd) = (settings(.lars, rate: 0.1, decay: 0.05), settings(.sgd, rate: 0.1, decay: 0.05))
        #expect(try result(lars, ranges: [0..<32])[4...] == result(sgd, ranges: [0..<32])[4...])
    }

    @Test func anArrayOfZerosMovesByTheRate() throws {
        let declare = Declarations()
        let (group, _) = declare.group("model", .descends(settings(.lars, rate: 0.5, decay: 0))) {
            $0.parameter("weight", [1, 2], .constant(0))
        }
        _ = ParameterStore(declare, device: try Device(), seed: 1)
        _ = group.parameters.parameters[0].gradient.elements.update(fromContentsOf: [1, -2])
        group.update(at: 0, of: 1, sums: group.normSums(in: [0..<16]), in: [0..<16])
        #expect(group.parameters.parameters[0].value.array == [-0.5, 1])
    }

    /// One step of w = (3, 4), |w| = 5, by a gradient of norm 1 or 0. The local rate is 0.02·5/(1 + 0.1·5) = 1/15, and
    /// g + 0.1·w = (0.9, 1.2).
    @Test func largeArraysMoveByTheirLocalRate() throws {
        func step(clip: Bool, gradient: [Float]) throws -> [Float] {
            var settings = settings(.lars, rate: 0.5, decay: 0.1)
            settings.clip = clip
            let declare = Declarations()
            let (group, _) = declare.group("model", .descends(settings)) {
                $0.parameter("weight", [1, 2], .constant(0))
            }
            _ = ParameterStore(declare, device: try Device(), seed: 1)
            let weight = group.parameters.parameters[0]
            _ = weight.value.elements.update(fromContentsOf: [3, 4])
            _ = weight.gradient.elements.update(fromContentsOf: gradient)
            group.update(at: 0, of: 1, sums: group.normSums(in: [0..<16]), in: [0..<16])
            return weight.value.array
        }
        expectClose(try step(clip: true, gradient: [0.6, 0.8]), [2.94, 3.92], within: 1e-6)
        expectClose(try step(clip: false, gradient: [0.6, 0.8]), [2.97, 3.96], within: 1e-6)
        // Without a gradient nothing decays.
        #expect(try step(clip: true, gradient: [0, 0]) == [3, 4])
    }

    @Test func numbersOfAnotherKindAreRefused() throws {
        func refused(_ change: (inout OptimiserSettings) -> Void, _ texts: String...) {
            var settings = OptimiserSettings()
            change(&settings)
            do {
                try settings.check("optimiser")
                Issue.record("accepted: \(texts)")
            } catch {
                for text in texts { #expect("\(error)".contains(text), "\(error)") }
            }
        }
        refused({ $0.nesterov = true }, "optimiser.nesterov", "kind is adam", "sgd and lars")
        refused({ ($0.kind, $0.beta2) = (.sgd, 0.5) }, "optimiser.beta2", "kind is sgd", "only for adam")
        refused({ ($0.kind, $0.trustCoefficient) = (.sgd, 0.5) }, "optimiser.trustCoefficient", "only for lars")
        refused({ $0.clip = false }, "optimiser.clip", "only for lars")
        refused({ $0.weightDecay = -1 }, "optimiser.weightDecay is -1", "0 to 1000")
        refused({ ($0.kind, $0.momentum) = (.sgd, 1) }, "optimiser.momentum is 1", "0..<1")
    }
}
