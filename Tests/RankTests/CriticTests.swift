import Autodiff
import Collectives
import Layers
import Objectives
import Tensors
import XCTest

/// The critics on these ranks, folded, by moments and in blocks of pairs, against the published forms in Double.
final class CriticTests: XCTestCase {
    private static let images = 6, side = 2, channels = 5, code = 4, units = 6
    private static var locations: Int { side * side }

    /// The inputs, and the same in rows of Double.
    private struct Inputs {
        let locals: [[Float]] = values(images * locations, channels, 2, -0.5, 0)
        let codes: [[Float]] = values(images, code, 4, -2, 1)

        private static func values(_ rows: Int, _ width: Int, _ scale: Float, _ shift: Float, _ index: Int) -> [[Float]]
        {
            var stream = RandomStream(seed: 3, purpose: .synthetic, sample: index)
            return (0..<rows).map { _ in (0..<width).map { _ in scale * stream.uniform() + shift } }
        }
    }

    func testCriticsEqualThePublishedOnes() throws {
        for kind in CriticSettings.Kind.allCases {
            for normalisation in CriticSettings.Normalisation.allCases {
                var critic = CriticSettings()
                (critic.kind, critic.units, critic.normalisation) = (kind, Self.units, normalisation)
                for (index, item) in LossCase.all.enumerated() {
                    // The critic's gradient is the same path for every loss: three of them are enough.
                    try check(critic, item, withGradients: [0, 2, 4].contains(index))
                }
            }
        }
    }

    private func check(_ critic: CriticSettings, _ item: LossCase, withGradients: Bool) throws {
        let (ranks, inputs) = (World.ranks, Inputs())
        let shares = Shares(counts: World.shares(of: Self.images), rank: ranks.rank)
        let own = shares.first..<shares.first + shares.own
        let ownRows = own.lowerBound * Self.locations..<own.upperBound * Self.locations
        let device = try Device()
        let declare = Declarations()
        var settings = ObjectiveSettings()
        (settings.estimator, settings.anchor, settings.compatibility) = (
            item.estimator, item.anchor, item.compatibility
        )
        let objective = DeepInfoMaxObjective(
            declare, map: (Self.side, Self.side, Self.channels), code: Self.code, critic: critic, objective: settings,
            batchNorm: .sync)
        let parameters = ParameterSet(declare, device: device, seed: 5)
        for parameter in parameters.parameters {  // norms that are not the identity, and scores of some size
            for i in 0..<parameter.value.count { parameter.value.base[i] = 1.5 * parameter.value.base[i] + 0.1 }
        }
        let tape = Tape(device: device, ranks: ranks, shares: shares)
        // The inputs as parameters, so that their gradients can be read.
        let localValue = device.tensor(
            [own.count, Self.side, Self.side, Self.channels], inputs.locals[ownRows].flatMap { $0 })
        let codeValue = device.tensor([own.count, Self.code], inputs.codes[own].flatMap { $0 })
        let localGradient = device.tensor(localValue.shape)
        let codeGradient = device.tensor(codeValue.shape)
        let term = try objective(
            tape, map: tape.parameter(localValue, gradient: localGradient),
            code: tape.parameter(codeValue, gradient: codeGradient), prior: nil,
            random: RandomStreams(seed: 0, step: 0))[0].value
        try tape.backward(from: term)
        try parameters.sumGradients(over: ranks)
        let total = try ranks.sum([Double(term.value.base[0])])[0]

        var direct = DirectCritic(
            weights: [:], channels: Self.channels, code: Self.code, units: Self.units, settings: critic)
        func name(_ parameter: Parameter) -> String { String(parameter.name.dropFirst("critic.".count)) }
        for parameter in parameters.parameters {
            direct.weights[name(parameter)] = parameter.value.array.map(Double.init)
        }
        var (locals, codes) = (inputs.locals.map { $0.map(Double.init) }, inputs.codes.map { $0.map(Double.init) })
        func reference() -> Double { item.loss(direct.scores(locals: locals, codes: codes)) }
        let label = "\(critic.kind) \(critic.normalisation) \(item), \(World.label)"
        XCTAssertEqual(total, reference(), accuracy: 2e-5 * max(abs(reference()), 0.1), label)
        guard withGradients else { return }

        for parameter in parameters.parameters {
            let expected = parameter.value.array.indices.map { i in
                slope { step in
                    direct.weights[name(parameter)]?[i] += step
                    defer { direct.weights[name(parameter)]?[i] -= step }
                    return reference()
                }
            }
            XCTAssertLessThan(relativeDistance(parameter.gradient.array, expected), 2e-4, "\(parameter.name), \(label)")
        }
        let expectedLocal = ownRows.flatMap { r in
            (0..<Self.channels).map { c in
                slope { step in
                    locals[r][c] += step
                    defer { locals[r][c] -= step }
                    return reference()
                }
            }
        }
        XCTAssertLessThan(relativeDistance(localGradient.array, expectedLocal), 2e-4, "locals, \(label)")
        let expectedCode = own.flatMap { r in
            (0..<Self.code).map { c in
                slope { step in
                    codes[r][c] += step
                    defer { codes[r][c] -= step }
                    return reference()
                }
            }
        }
        XCTAssertLessThan(relativeDistance(codeGradient.array, expectedCode), 2e-4, "code, \(label)")
    }

    private func slope(_ loss: (_ step: Double) -> Double) -> Double { (loss(1e-5) - loss(-1e-5)) / 2e-5 }
}
