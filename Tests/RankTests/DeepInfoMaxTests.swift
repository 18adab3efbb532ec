import Autodiff
import Collectives
import Layers
import Objectives
import Tensors
import XCTest

/// The law of ranks for every estimator, critic and prior: these ranks on a split batch equal one rank on the batch.
final class DeepInfoMaxTests: XCTestCase {
    private static let images = 7, side = 5, channels = 6, code = 4
    private static let locations = side * side

    private struct Outcome {
        var terms: [String: Double] = [:]
        var gradients: [String: [Float]] = [:]
    }

    /// Every term at once, and the gradient of their sum by all parameters and by what comes from the encoder.
    private func evaluate(
        _ item: LossCase, _ critic: CriticSettings, _ prior: PriorSettings, counts: [Int], ranks: any Ranks
    ) throws -> Outcome {
        let device = try Device()
        let shares = Shares(counts: counts, rank: ranks.rank)
        var settings = ObjectiveSettings()
        (settings.estimator, settings.anchor, settings.compatibility) = (
            item.estimator, item.anchor, item.compatibility
        )
        (settings.globalWeight, settings.localWeight, settings.coordinatesWeight) = (0.5, 1, 0.3)
        settings.prior = prior
        let (declare, adversary) = (Declarations(), Declarations())
        let objective = DeepInfoMaxObjective(
            declare, map: (Self.side, Self.side, Self.channels), code: Self.code, critic: critic, objective: settings,
            batchNorm: .sync)
        let matching = prior.weight > 0 ? PriorMatching(adversary, code: Self.code, settings: prior) : nil
        let parameters = ParameterSet(declare, device: device, seed: 5)
        let adversaries = ParameterSet(adversary, device: device, seed: 6)
        let mapSize = Self.locations * Self.channels
        let map = device.tensor([shares.own, Self.side, Self.side, Self.channels])
        let code = device.tensor([shares.own, Self.code])
        for i in 0..<shares.own {
            var stream = RandomStream(seed: 1, purpose: .synthetic, sample: shares.first + i)
            for k in 0..<mapSize { map.base[i * mapSize + k] = 2 * stream.uniform() - 1 }
            for k in 0..<Self.code { code.base[i * Self.code + k] = 2 * stream.uniform() - 1 }
        }
        let (mapGradient, codeGradient) = (device.tensor(map.shape), device.tensor(code.shape))
        let tape = Tape(device: device, ranks: ranks, shares: shares)
        let terms = try objective(
            tape, map: tape.parameter(map, gradient: mapGradient), code: tape.parameter(code, gradient: codeGradient),
            prior: matching, random: RandomStreams(seed: 3, step: 9))
        try tape.backward(from: tape.weightedSum(terms.map { ($0.value, Float($0.weight)) }))
        var outcome = Outcome()
        for (term, total) in zip(terms, try ranks.sum(terms.map { Double($0.value.value.base[0]) })) {
            outcome.terms[term.name] = total
        }
        for set in [parameters, adversaries] {
            try set.sumGradients(over: ranks)
            for parameter in set.parameters { outcome.gradients[parameter.name] = parameter.gradient.array }
        }
        outcome.gradients["map"] = try ranks.gather(mapGradient.array, filler: 0)
        outcome.gradients["code"] = try ranks.gather(codeGradient.array, filler: 0)
        return outcome
    }

    func testRanksEqualOneRankInEveryCombination() throws {
        for kind in CriticSettings.Kind.allCases {
            for normalisation in CriticSettings.Normalisation.allCases {
                var critic = CriticSettings()
                (critic.kind, critic.units, critic.normalisation) = (kind, 8, normalisation)
                for distribution in [nil] + PriorSettings.Distribution.allCases.map(Optional.some) {
                    var prior = PriorSettings()
                    prior.weight = distribution == nil ? 0 : 0.1
                    prior.distribution = distribution ?? .uniform
                    for item in LossCase.all {
                        let label =
                            "\(kind) \(normalisation) \(distribution.map { "\($0)" } ?? "no") prior, \(item), "
                            + World.label
                        let split = try evaluate(
                            item, critic, prior, counts: World.shares(of: Self.images), ranks: World.ranks)
                        let whole = try evaluate(item, critic, prior, counts: [Self.images], ranks: SingleRank())
                        try compare(split, whole, label)
                    }
                }
            }
        }
    }

    private func compare(_ split: Outcome, _ whole: Outcome, _ label: String) throws {
        XCTAssertEqual(split.terms.keys.sorted(), whole.terms.keys.sorted(), label)
        for (name, expected) in whole.terms {
            XCTAssertEqual(
                split.terms[name] ?? .nan, expected, accuracy: 1e-5 * max(abs(expected), 0.1), "\(name), \(label)")
        }
        let largest = whole.gradients.values.flatMap { $0 }.map(abs).max() ?? 0
        XCTAssertGreaterThan(largest, 0, label)
        for (name, expected) in whole.gradients {
            let found = split.gradients[name] ?? []
            XCTAssertEqual(found.count, expected.count, "\(name), \(label)")
            // A gradient that is 0 but for rounding can't be compared by its own size.
            let norm = expected.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
            guard norm > 1e-6 * Double(largest) else { continue }
            XCTAssertLessThan(relativeDistance(found, expected), 1e-3, "gradient by \(name), \(label)")
        }
    }
}
