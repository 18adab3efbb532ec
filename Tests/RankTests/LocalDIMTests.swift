import Autodiff
import Collectives
import Layers
import Objectives
import Tensors
import XCTest

/// The folded critic with its moment batch norm, on these ranks, against the published form in Double.
final class LocalDIMTests: XCTestCase {
    private let images = 6, side = 2, channels = 5, code = 4, units = 6

    func testFoldedCriticEqualsThePublishedOne() throws {
        let ranks = World.ranks
        let shares = Shares(counts: World.shares(of: images), rank: ranks.rank)
        let own = shares.first..<shares.first + shares.own
        let locations = side * side
        var stream = RandomStream(seed: 3, purpose: .synthetic)
        let locals = (0..<images * locations).map { _ in (0..<channels).map { _ in 2 * stream.uniform() - 0.5 } }
        let codes = (0..<images).map { _ in (0..<code).map { _ in 4 * stream.uniform() - 2 } }

        for (estimator, anchor) in estimators {
            let device = try Device()
            let declare = Declarations()
            var settings = ObjectiveSettings()
            (settings.estimator, settings.anchor) = (estimator, anchor)
            var critic = CriticSettings()
            critic.units = units
            let objective = LocalDIM(
                declare, channels: channels, code: code, critic: critic, objective: settings, batchNorm: .sync)
            let parameters = ParameterSet(declare, device: device, seed: 5)
            for parameter in parameters.parameters {  // norms that are not the identity, and scores of some size
                for i in 0..<parameter.value.count { parameter.value.base[i] = 1.5 * parameter.value.base[i] + 0.1 }
            }
            let tape = Tape(device: device, ranks: ranks, shares: shares)
            // The inputs as parameters, so that their gradients can be read.
            let localValue = device.tensor(
                [own.count, side, side, channels],
                locals[own.lowerBound * locations..<own.upperBound * locations].flatMap { $0 })
            let codeValue = device.tensor([own.count, code], codes[own].flatMap { $0 })
            let localGradient = device.tensor(localValue.shape)
            let codeGradient = device.tensor(codeValue.shape)
            let loss = try objective(
                tape, locals: tape.parameter(localValue, gradient: localGradient),
                code: tape.parameter(codeValue, gradient: codeGradient))
            try tape.backward(from: loss)
            try parameters.sumGradients(over: ranks)
            let total = try ranks.sum([Double(loss.value.base[0])])[0]

            var direct = DirectCritic(weights: [:], channels: channels, code: code, units: units)
            for parameter in parameters.parameters {
                direct.weights[parameter.name] = parameter.value.array.map(Double.init)
            }
            var (localRows, codeRows) = (locals.map { $0.map(Double.init) }, codes.map { $0.map(Double.init) })
            func reference() -> Double { direct.loss(locals: localRows, codes: codeRows, estimator, anchor) }
            let place = "\(estimator) \(anchor), \(World.place)"
            XCTAssertEqual(total, reference(), accuracy: 1e-5 * abs(reference()), place)

            for parameter in parameters.parameters {
                let expected = parameter.value.array.indices.map { i in
                    slope { step in
                        direct.weights[parameter.name]?[i] += step
                        defer { direct.weights[parameter.name]?[i] -= step }
                        return reference()
                    }
                }
                XCTAssertLessThan(
                    relativeDistance(parameter.gradient.array, expected), 1e-4, "\(parameter.name), \(place)")
            }
            let expectedLocal = (own.lowerBound * locations..<own.upperBound * locations).flatMap { r in
                (0..<channels).map { c in
                    slope { step in
                        localRows[r][c] += step
                        defer { localRows[r][c] -= step }
                        return reference()
                    }
                }
            }
            XCTAssertLessThan(relativeDistance(localGradient.array, expectedLocal), 1e-4, "locals, \(place)")
            let expectedCode = own.flatMap { r in
                (0..<code).map { c in
                    slope { step in
                        codeRows[r][c] += step
                        defer { codeRows[r][c] -= step }
                        return reference()
                    }
                }
            }
            XCTAssertLessThan(relativeDistance(codeGradient.array, expectedCode), 1e-4, "code, \(place)")
        }
    }

    private func slope(_ loss: (_ step: Double) -> Double) -> Double { (loss(1e-5) - loss(-1e-5)) / 2e-5 }
}
