import Autodiff
import Collectives
import Foundation
import Tensors
import XCTest

@testable import Evaluation

/// Bounds and their standard errors against their definitions, over all pairs in Double.
final class MutualInformationBoundTests: XCTestCase {
    private static let rows = 9

    private static func score(_ i: Int, _ j: Int) -> Double {
        Double(Float(sin(Double(i * 7 + j * 3)) * 2 + (i == j ? 2 : 0)))
    }

    /// The bound with row i counting `weights[i]` times, of scores times `scale`.
    private static func bound(_ estimator: MutualInformationEstimator, scale: Double, weights: [Double]) -> Double {
        let all = 0..<rows
        let start = Double(estimator.startingScore)
        func u(_ i: Int, _ j: Int) -> Double { start + scale * (score(i, j) - start) }
        let total = weights.reduce(0, +)
        func own(_ value: (Int) -> Double) -> Double { all.reduce(0) { $0 + weights[$1] * value($1) } / total }
        func others(_ value: (Int, Int) -> Double) -> Double {
            var (sum, count) = (0.0, 0.0)
            for i in all {
                for j in all where i != j {
                    sum += weights[i] * weights[j] * value(i, j)
                    count += weights[i] * weights[j]
                }
            }
            return sum / count
        }
        return switch estimator {
        case .infoNCE: own { i in u(i, i) - log(own { exp(u(i, $0)) }) }
        case .mine, .donskerVaradhan: own { u($0, $0) } - log(others { exp(u($0, $1)) })
        case .nwj: own { u($0, $0) } - others { exp(u($0, $1) - 1) }
        case .jensenShannon: own { u($0, $0) } + 1 - others { exp(u($0, $1)) }
        case .smile: own { u($0, $0) } - log(others { exp(min(max(u($0, $1), -5), 5)) })
        }
    }

    func testValueAndStandardErrorAreThoseOfTheDefinition() throws {
        for estimator in MutualInformationEstimator.allCases {
            for scale in [0.5, 1, 4] {
                let n = Self.rows
                let expected = Self.bound(estimator, scale: scale, weights: Array(repeating: 1, count: n))
                // n times the slope by each row's weight, by differences
                let influences = (0..<n).map { i -> Double in
                    let step = 1e-5
                    func moved(_ by: Double) -> Double {
                        var weights = [Double](repeating: 1, count: n)
                        weights[i] += by
                        return Self.bound(estimator, scale: scale, weights: weights)
                    }
                    return Double(n) * (moved(step) - moved(-step)) / (2 * step)
                }
                let variance = influences.reduce(0) { $0 + $1 * $1 } / Double(n * (n - 1))
                for worldSize in 1...3 {
                    let place = "\(estimator), scale \(scale), \(worldSize) ranks"
                    let results = try onRanks(worldSize) { ranks, device in
                        // None on the last rank of three.
                        let counts = [[9], [4, 5], [6, 3, 0]][worldSize - 1]
                        let shares = Shares(counts: counts, rank: ranks.rank)
                        var statistics = BoundStatistics(estimator, scale: scale)
                        try statistics.add(shares: shares, ranks: ranks, device: device) { rows, tile in
                            for (place, row) in rows.enumerated() {
                                for j in 0..<n { tile.row(place)[j] = Float(Self.score(shares.first + row, j)) }
                            }
                        }
                        return try statistics.bound(ranks: ranks)
                    }
                    for result in results {
                        XCTAssertEqual(result.nats, expected, accuracy: 1e-9 * max(1, abs(expected)), place)
                        XCTAssertEqual(
                            result.standardError, variance.squareRoot(), accuracy: 1e-5 * variance.squareRoot(), place)
                        XCTAssertEqual(result.ceiling != nil, estimator == .infoNCE, place)
                    }
                }
            }
        }
    }

    func testOnePairThatCarriesTheMeanIsCounted() throws {
        let bound = try onRanks(1) { ranks, device in
            var statistics = BoundStatistics(.donskerVaradhan, scale: 1)
            let shares = Shares(counts: [20], rank: 0)
            try statistics.add(shares: shares, ranks: ranks, device: device) { rows, tile in
                for i in rows { for j in 0..<20 { tile.row(i)[j] = i == 3 && j == 5 ? 400 : 0 } }
            }
            return try statistics.bound(ranks: ranks)
        }[0]
        XCTAssertEqual(bound.effectivePairs ?? 0, 1, accuracy: 1e-6)
        XCTAssert(bound.nats.isFinite && bound.standardError.isFinite)
    }

    /// What is said of a bound of 1,000 test rows, all standing well but for what the case changes.
    private func warnings(
        _ estimator: MutualInformationEstimator, nats: Double, error: Double = 0.01, ceiling: Double? = nil,
        effectivePairs: Double? = nil, trainingNats: Double? = nil, testRows: Int = 1000
    ) -> [String] {
        var settings = MutualInformation()
        settings.estimator = estimator
        let bound = MutualInformationBound(
            nats: nats, standardError: error, ceiling: ceiling, effectivePairs: effectivePairs)
        return MutualInformationEstimate(
            settings: settings, bound: bound, unscaled: bound, trainingNats: trainingNats ?? nats, step: 1,
            trainingRows: 5000, validationRows: 500, testRows: testRows
        ).warnings
    }

    func testLimitsAndScarcityAreSaid() throws {
        XCTAssertEqual(warnings(.infoNCE, nats: 4, ceiling: log(1000)), [])
        XCTAssertEqual(warnings(.mine, nats: 4, effectivePairs: 1000), [])
        XCTAssertEqual(warnings(.smile, nats: 4, effectivePairs: 10), [])
        let cases: [(found: [String], expected: [String])] = [
            (warnings(.infoNCE, nats: 6.2, ceiling: log(1000)), ["can't pass 6.91 nats", "a batch of 512"]),
            (warnings(.infoNCE, nats: 5.5, ceiling: log(1000)), ["a batch of 512 teaches infoNCE little beyond 6.24"]),
            (warnings(.smile, nats: 5.1, effectivePairs: 1000), ["smile clips scores to 5.0"]),
            (warnings(.nwj, nats: 6, effectivePairs: 12), ["over 999000 pairs is carried by 12"]),
            (warnings(.nwj, nats: 6, effectivePairs: 120), ["over a batch's 261632 pairs is carried by 31"]),
            (warnings(.jensenShannon, nats: 6, effectivePairs: 120), []),
            (warnings(.mine, nats: 1, effectivePairs: 1000, testRows: 150), ["only 150 to report on"]),
            (warnings(.mine, nats: 0.2, error: 0.06, effectivePairs: 1000), ["the standard error is 0.06"]),
            (warnings(.mine, nats: 2, effectivePairs: 1000, trainingNats: 2.5), ["2.5 nats on rows"]),
        ]
        for (found, expected) in cases {
            XCTAssertEqual(found.count, expected.count, "\(found)")
            for (sentence, part) in zip(found, expected) { XCTAssert(sentence.contains(part), sentence) }
        }
    }
}
