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
        // Over the pairs of different rows and, once, an average own pair.
        func mixed(_ value: (Int, Int) -> Double) -> Double {
            let pairs = Double(rows * (rows - 1))
            return (pairs * others(value) + own { value($0, $0) }) / (pairs + 1)
        }
        return switch estimator {
        case .infoNCE: own { i in u(i, i) - log(own { exp(u(i, $0)) }) }
        case .mine, .donskerVaradhan: own { u($0, $0) } - log(mixed { exp(u($0, $1)) })
        case .nwj: own { u($0, $0) } - mixed { exp(u($0, $1) - 1) }
        case .jensenShannon: own { u($0, $0) } + 1 - mixed { exp(u($0, $1)) }
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
                    let label = "\(estimator), scale \(scale), \(worldSize) ranks"
                    let results = try onRanks(worldSize) { ranks, device in
                        // None on the last rank of three.
                        let counts = [[9], [4, 5], [6, 3, 0]][worldSize - 1]
                        let shares = Shares(counts: counts, rank: ranks.rank)
                        var statistics = BoundStatistics(estimator, scale: scale)
                        try statistics.add(shares: shares, ranks: ranks, device: device) { rows, tile in
                            for (index, row) in rows.enumerated() {
                                for j in 0..<n { tile.row(index)[j] = Float(Self.score(shares.first + row, j)) }
                            }
                        }
                        return try statistics.bound(ranks: ranks)
                    }
                    for result in results {
                        XCTAssertEqual(result.nats, expected, accuracy: 1e-9 * max(1, abs(expected)), label)
                        XCTAssertEqual(
                            result.standardError, variance.squareRoot(), accuracy: 1e-5 * variance.squareRoot(), label)
                        let ceiling: Double? =
                            switch estimator {
                            case .infoNCE: log(9)
                            case .smile: nil
                            default: log(73)
                            }
                        XCTAssertEqual(result.ceiling == nil, ceiling == nil, label)
                        XCTAssertEqual(result.ceiling ?? 0, ceiling ?? 0, accuracy: 1e-12, label)
                    }
                }
            }
        }
    }

    /// The bound of blocks of 20 rows with these scores; the same on 1 and on 3 ranks.
    private func bound(
        _ estimator: MutualInformationEstimator, blocks: Int = 1,
        score: @escaping @Sendable (_ i: Int, _ j: Int) -> Float
    ) throws -> MutualInformationBound {
        let results = try [[20], [7, 13, 0]].map { counts in
            try onRanks(counts.count) { ranks, device in
                var statistics = BoundStatistics(estimator, scale: 1)
                let shares = Shares(counts: counts, rank: ranks.rank)
                for _ in 0..<blocks {
                    try statistics.add(shares: shares, ranks: ranks, device: device) { rows, tile in
                        for (index, i) in rows.enumerated() {
                            for j in 0..<20 { tile.row(index)[j] = score(shares.first + i, j) }
                        }
                    }
                }
                return try statistics.bound(ranks: ranks)
            }
        }
        for other in results[1] {
            let alone = results[0][0]
            if alone.nats.isFinite {
                XCTAssertEqual(other.nats, alone.nats, accuracy: 1e-12 * max(1, abs(alone.nats)), "\(estimator)")
            } else {
                XCTAssertEqual(other.nats, alone.nats, "\(estimator)")
            }
            XCTAssertEqual(other.effectivePairs ?? 0, alone.effectivePairs ?? 0, accuracy: 1e-9, "\(estimator)")
        }
        return results[0][0]
    }

    func testOnePairThatCarriesTheMeanIsCounted() throws {
        let bound = try bound(.donskerVaradhan) { i, j in i == 3 && j == 5 ? 400 : 0 }
        XCTAssertEqual(bound.effectivePairs ?? 0, 1, accuracy: 1e-6)
        XCTAssertEqual(bound.nats, log(381) - 400, accuracy: 1e-9)
        XCTAssert(bound.standardError.isFinite)
    }

    /// Scores whose exponentials no Double holds: nothing is cut.
    func testLargeScoresCountInFull() throws {
        for blocks in [1, 2] {
            // A constant more doesn't move Donsker and Varadhan's bound.
            let own = { @Sendable (i: Int, j: Int) -> Float in i == j ? 2 : Float((i * 7 + j * 3) % 5) - 4 }
            let low = try bound(.mine, blocks: blocks, score: own)
            let high = try bound(.mine, blocks: blocks) { own($0, $1) + 4096 }
            XCTAssertEqual(high.nats, low.nats, accuracy: 1e-9)
            XCTAssertEqual(high.standardError, low.standardError, accuracy: 1e-9)
            XCTAssertEqual(high.effectivePairs ?? 0, low.effectivePairs ?? 1, accuracy: 1e-6)
        }
        // All own pairs are a million above all others: 20 · 19 pairs can't show more than their logarithm.
        for estimator in [MutualInformationEstimator.donskerVaradhan, .mine] {
            let bound = try bound(estimator) { i, j in i == j ? 1e6 : -1e6 }
            XCTAssertEqual(bound.nats, log(381), accuracy: 1e-9)
            XCTAssertEqual(bound.effectivePairs ?? 0, 1, accuracy: 1e-9)
        }
        // Other pairs far above: a bound that says nothing, and says so.
        XCTAssertEqual(try bound(.mine) { i, j in i == j ? 0 : 1e6 }.nats, -1e6 - log(380 / 381), accuracy: 1e-6)
        for estimator in [MutualInformationEstimator.nwj, .jensenShannon] {
            let bound = try bound(estimator) { i, j in i == j ? 0 : 1e6 }
            XCTAssertEqual(bound.nats, -.infinity, "\(estimator)")
            XCTAssertEqual(bound.standardError, .infinity, "\(estimator)")
        }
        for estimator in MutualInformationEstimator.allCases {
            for wild in [Float.nan, .infinity, -.infinity] {
                let bound = try bound(estimator) { i, j in i == 19 && j == 3 ? wild : 0 }
                XCTAssertEqual(bound.nats, -.infinity, "\(estimator)")
            }
        }
    }

    /// The warnings about a bound on 1,000 test rows, which are all right except for what the case changes.
    private func warnings(
        _ estimator: MutualInformationEstimator, nats: Double, error: Double = 0.01, ceiling: Double? = nil,
        effectivePairs: Double? = nil, trainingNats: Double? = nil, testRows: Int = 1000, copies: Int = 0,
        reference: NeighbourInformation? = nil,
        training: CriticTraining = CriticTraining(step: 1), unscaled: Double = 0
    ) -> [String] {
        var settings = MutualInformation()
        settings.estimator = estimator
        let bound = MutualInformationBound(
            nats: nats, standardError: error, ceiling: ceiling, effectivePairs: effectivePairs)
        return MutualInformationEstimate(
            settings: settings, bound: bound, unscaled: bound, trained: (trainingNats ?? nats, unscaled),
            training: training,
            rows: RowCounts(training: 5000, validation: 500, test: testRows, copies: copies), reference: reference
        ).warnings
    }

    func testLimitsAndScarcityAreSaid() throws {
        func reference(_ nats: Double, _ error: Double) -> NeighbourInformation {
            NeighbourInformation(nats: nats, standardError: error, rows: 10_000)
        }
        XCTAssertEqual(warnings(.infoNCE, nats: 4, ceiling: log(1000)), [])
        XCTAssertEqual(warnings(.mine, nats: 4, effectivePairs: 1000), [])
        XCTAssertEqual(warnings(.smile, nats: 4, effectivePairs: 10), [])
        let cases: [(found: [String], expected: [String])] = [
            (warnings(.infoNCE, nats: 6.2, ceiling: log(1000)), ["can't exceed 6.91 nats", "batches of 512"]),
            (
                warnings(.infoNCE, nats: 5.5, ceiling: log(1000)),
                [
                    "with batches of 512 infoNCE learns little beyond "
                        + "6.24"
                ]
            ),
            (warnings(.smile, nats: 5.1, effectivePairs: 1000), ["smile clips scores to 5.0"]),
            (warnings(.nwj, nats: 6, effectivePairs: 12), ["over 999000 pairs depends on only 12"]),
            (warnings(.nwj, nats: 6, effectivePairs: 120), ["over a batch's 261632 pairs depends on only 31"]),
            (warnings(.jensenShannon, nats: 6, effectivePairs: 120), []),
            (warnings(.mine, nats: 1, effectivePairs: 1000, testRows: 150), ["only 150 test rows"]),
            (warnings(.mine, nats: 0.2, error: 0.06, effectivePairs: 1000), ["the standard error is 0.06"]),
            (warnings(.mine, nats: 2, effectivePairs: 1000, trainingNats: 2.5), ["2.5 nats on training rows"]),
            (
                warnings(.mine, nats: 12.9, ceiling: log(999_001), effectivePairs: 1000),
                ["can't show more than 13.81 nats"]
            ),
            (
                warnings(.mine, nats: 1, training: CriticTraining(step: 2000, isStillRising: true)),
                ["still rising at the last of 2000 steps: raise --steps"]
            ),
            (
                warnings(.infoNCE, nats: 1.73, reference: reference(2.31, 0.01)),
                ["nearest neighbours, without a critic, find 2.31 nats"]
            ),
            (warnings(.infoNCE, nats: 1.73, reference: reference(1.82, 0.001)), []),  // 0.1 nats may be anything
            (warnings(.infoNCE, nats: 1.73, reference: reference(1.9, 0.06)), []),  // and so may 3 standard errors
            (warnings(.infoNCE, nats: 1.73, reference: reference(1.3, 0.01)), []),  // lower says nothing
            (
                warnings(.mine, nats: 1, training: CriticTraining(step: 350, steps: 1500, fall: 0.2)),
                ["best at step 350 of 1500: after it validation rows lost 0.2 nats"]
            ),
            (warnings(.mine, nats: 1, training: CriticTraining(step: 350, steps: 1500, fall: 0.01)), []),
            (warnings(.mine, nats: 1, training: CriticTraining(step: 1350, steps: 1500, fall: 0.2)), []),
            (warnings(.mine, nats: 1, copies: 3000), ["equal rows: 3000 of 6500 are copies"]),
            // The effect of divergence isn't blamed on the rows.
            (
                warnings(.nwj, nats: -.infinity, error: .infinity, effectivePairs: 1000),
                ["training diverged: the critic's scores are far too large"]
            ),
            (
                warnings(.mine, nats: 0, error: 9, effectivePairs: 1000, trainingNats: 2, unscaled: -30),
                ["training diverged: the critic's scores are far too large"]
            ),
            (  // the start was kept, and what came after went wild
                warnings(.mine, nats: 0, training: CriticTraining(steps: 150, lastTrainingNats: -30)),
                ["training diverged: the critic's scores are far too large"]
            ),
            (
                warnings(.mine, nats: 1, training: CriticTraining(step: 50, failures: 3)),
                ["training diverged: 3 steps were undone"]
            ),
        ]
        for (found, expected) in cases {
            XCTAssertEqual(found.count, expected.count, "\(found)")
            for (sentence, part) in zip(found, expected) { XCTAssert(sentence.contains(part), sentence) }
        }
    }
}
