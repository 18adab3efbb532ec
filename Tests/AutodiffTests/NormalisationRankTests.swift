import Autodiff
import Collectives
import Tensors
import XCTest

/// The law of ranks for operations that take statistics over the global batch: P ranks with a part each equal one rank
/// with all of it.
final class NormalisationRankTests: XCTestCase {
    private static let images = 9
    private static let locations = 4
    private static let channels = 3
    private static let units = 5
    /// Images by rank: uneven, and with ranks that have none.
    private static let splits = [[9], [7, 2], [0, 9], [3, 2, 4], [5, 0, 4], [0, 0, 9]]

    private enum Normalisation: CaseIterable {
        case plain
        case rectified
        case folded

        /// Shapes of what is not split over ranks.
        var parameters: [[Int]] {
            let (channels, units) = (NormalisationRankTests.channels, NormalisationRankTests.units)
            return self == .folded ? [[units, channels], [units], [units]] : [[channels], [channels]]
        }

        var outputs: Int { self == .folded ? NormalisationRankTests.units : NormalisationRankTests.channels }

        func callAsFunction(_ tape: Tape, _ x: Variable, _ p: [Variable], _ scope: BatchNormScope) throws -> Variable {
            switch self {
            case .plain, .rectified:
                try tape.batchNorm(x, scale: p[0], shift: p[1], rectified: self == .rectified, scope: scope).y
            case .folded: try tape.momentNormalisedLinear(x, weight: p[0], scale: p[1], shift: p[2], scope: scope)
            }
        }
    }

    private struct Outcome: Sendable {
        /// Output and input gradient, all images in order.
        var output: [Float] = []
        var inputGradient: [Float] = []
        /// By parameter, the sum over ranks.
        var parameterGradients: [[Float]]
    }

    /// The result of one rank for images `range`.
    private static func run(
        _ normalisation: Normalisation, _ range: Range<Int>, shares: Shares, scope: BatchNormScope, ranks: any Ranks,
        device: Device
    ) throws -> Outcome {
        func part(_ columns: Int, _ index: Int) -> [Float] {
            let size = locations * columns
            return Array(normals(images * size, index)[range.lowerBound * size..<range.upperBound * size])
        }
        let x = device.tensor([range.count, locations, channels], part(channels, 1).map { 1 + 2 * $0 })
        let inputGradient = device.tensor(x.shape)
        let values = normalisation.parameters.enumerated().map { index, shape in
            device.tensor(shape, normals(shape.reduce(1, *), 10 + index))
        }
        let gradients = values.map { device.tensor($0.shape) }
        let tape = Tape(device: device, ranks: ranks, shares: shares)
        let y = try normalisation(
            tape, tape.parameter(x, gradient: inputGradient),
            zip(values, gradients).map { tape.parameter($0, gradient: $1) }, scope)
        try tape.backward(from: tape.projection([(y, part(normalisation.outputs, 2))]))
        return Outcome(
            output: y.value.array, inputGradient: inputGradient.array, parameterGradients: gradients.map(\.array))
    }

    private static func runOnRanks(
        _ normalisation: Normalisation, counts: [Int], scope: BatchNormScope
    ) throws -> [Outcome] {
        try onRanks(counts.count) { ranks, device in
            let shares = Shares(counts: counts, rank: ranks.rank)
            return try run(
                normalisation, shares.first..<shares.first + shares.own, shares: shares, scope: scope, ranks: ranks,
                device: device)
        }
    }

    private static func runAlone(_ normalisation: Normalisation, _ range: Range<Int>) throws -> Outcome {
        try run(
            normalisation, range, shares: Shares(counts: [range.count], rank: 0), scope: .sync, ranks: SingleRank(),
            device: Device())
    }

    private func join(_ parts: [Outcome]) -> Outcome {
        var whole = Outcome(parameterGradients: parts[0].parameterGradients)
        for (rank, part) in parts.enumerated() {
            whole.output += part.output
            whole.inputGradient += part.inputGradient
            guard rank > 0 else { continue }
            whole.parameterGradients = zip(whole.parameterGradients, part.parameterGradients).map { sum, gradient in
                zip(sum, gradient).map { $0 + $1 }
            }
        }
        return whole
    }

    private func assertEqual(_ found: Outcome, _ expected: Outcome, _ message: String) {
        XCTAssertLessThan(relativeDifference(found.output, expected.output), 2e-6, "output, \(message)")
        XCTAssertLessThan(
            relativeDifference(found.inputGradient, expected.inputGradient), 1e-5, "input gradient, \(message)")
        XCTAssertEqual(found.parameterGradients.count, expected.parameterGradients.count)
        for (index, pair) in zip(found.parameterGradients, expected.parameterGradients).enumerated() {
            XCTAssertLessThan(relativeDifference(pair.0, pair.1), 1e-5, "parameter \(index), \(message)")
        }
    }

    func testRanksTogetherEqualOne() throws {
        for normalisation in Normalisation.allCases {
            let expected = try Self.runAlone(normalisation, 0..<Self.images)
            for counts in Self.splits {
                let found = join(try Self.runOnRanks(normalisation, counts: counts, scope: .sync))
                assertEqual(found, expected, "\(normalisation), images \(counts)")
            }
        }
    }

    func testLocalScopeSeesItsOwnRankOnly() throws {
        for normalisation in Normalisation.allCases {
            let found = try Self.runOnRanks(normalisation, counts: [3, 2, 4], scope: .local)
            for (rank, range) in [0..<3, 3..<5, 5..<9].enumerated() {
                let expected = try Self.runAlone(normalisation, range)
                assertEqual(found[rank], expected, "\(normalisation), rank \(rank)")
            }
        }
    }
}
