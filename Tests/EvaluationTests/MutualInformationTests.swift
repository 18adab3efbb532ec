import Collectives
import Evaluation
import Foundation
import Tensors
import XCTest

/// Estimates of what is known in closed form, with settings that take a second.
final class MutualInformationTests: XCTestCase {
    /// Rows of x and y that correlate by rho in every column: I = -d/2 ln(1 - rho²).
    private static func gaussians(
        rows: Int, dimensions: Int, rho: Float, ranks: any Ranks, device: Device,
        change: (_ row: Int, _ x: Float) -> Float = { _, x in 3 + 10 * x }  // whatever the units
    ) -> (x: Tensor, y: Tensor) {
        let holders = ranks.worldSize == 3 ? 2 : ranks.worldSize  // the last of three has none
        let holder = min(ranks.rank, holders)
        let own = rows * holder / holders..<rows * min(holder + 1, holders) / holders
        var (x, y): ([Float], [Float]) = ([], [])
        for row in own {
            var stream = RandomStream(row: row)
            for _ in 0..<dimensions {
                let (a, b) = (stream.normal(), stream.normal())
                x.append(change(row, a))
                y.append(rho * a + (1 - rho * rho).squareRoot() * b)
            }
        }
        return (device.tensor([own.count, dimensions], x), device.tensor([own.count, dimensions], y))
    }

    private static func small(_ estimator: MutualInformationEstimator) -> MutualInformation {
        var settings = MutualInformation()
        settings.estimator = estimator
        settings.units = 32
        settings.embedding = 8
        settings.batch = 128
        settings.candidates = 200
        settings.steps = 350
        settings.rate = 3e-3
        settings.decay = 0
        return settings
    }

    private func estimate(
        _ settings: MutualInformation, rows: Int, dimensions: Int, rho: Float, worldSize: Int = 1,
        change: @escaping @Sendable (_ row: Int, _ x: Float) -> Float = { _, x in 3 + 10 * x }
    ) throws -> MutualInformationEstimate {
        let results = try onRanks(worldSize) { ranks, device in
            let (x, y) = Self.gaussians(
                rows: rows, dimensions: dimensions, rho: rho, ranks: ranks, device: device, change: change)
            return try settings(x: x, y: y, seed: 1, ranks: ranks, device: device)
        }
        XCTAssertEqual(Set(results.map(\.nats)).count, 1, "ranks disagree")
        XCTAssertEqual(Set(results.map(\.standardError)).count, 1, "ranks disagree")
        return results[0]
    }

    /// d = 1, ρ = 0.9: 0.830 nats, by every estimator and at every world size.
    func testCorrelatedGaussians() throws {
        for estimator in MutualInformationEstimator.allCases {
            let settings = Self.small(estimator)
            let alone = try estimate(settings, rows: 3000, dimensions: 1, rho: 0.9)
            XCTAssertEqual(alone.nats, 0.8304, accuracy: 0.1, "\(estimator)")
            XCTAssertLessThan(alone.standardError, 0.05, "\(estimator)")
            XCTAssertEqual(alone.warnings, [], "\(estimator)")
            XCTAssertEqual([alone.rows.training, alone.rows.validation, alone.rows.test], [2100, 300, 600])
            XCTAssertEqual(try XCTUnwrap(alone.reference).nats, 0.8304, accuracy: 0.06, "\(estimator)")
            for worldSize in estimator == .mine ? [2, 3] : [] {
                let shared = try estimate(settings, rows: 3000, dimensions: 1, rho: 0.9, worldSize: worldSize)
                XCTAssertEqual(shared.nats, alone.nats, accuracy: 0.02, "\(estimator), \(worldSize) ranks")
            }
        }
    }

    /// Few rows of many dimensions, which a critic soon has by heart.
    func testFewIndependentRowsAreNotMadeMuchOf() throws {
        for estimator in [MutualInformationEstimator.infoNCE, .mine, .jensenShannon] {
            var settings = Self.small(estimator)
            settings.steps = 150
            let found = try estimate(settings, rows: 300, dimensions: 10, rho: 0)
            XCTAssertLessThan(abs(found.nats), 0.1, "\(estimator)")
            XCTAssert(found.warnings.contains { $0.contains("too few rows") }, "\(estimator): \(found.warnings)")
        }
    }

    /// 12 nats, of which 16 candidates can show 2.8.
    func testACeilingIsSaid() throws {
        var settings = Self.small(.infoNCE)
        settings.batch = 16
        settings.candidates = 16
        let found = try estimate(settings, rows: 1000, dimensions: 6, rho: 0.99)
        let ceiling = try XCTUnwrap(found.ceiling)
        XCTAssertLessThanOrEqual(ceiling, log(16))
        XCTAssertLessThanOrEqual(found.nats, ceiling)
        XCTAssertGreaterThan(found.nats, ceiling - 0.5)
        XCTAssert(found.warnings.contains { $0.contains("near the ceiling") }, "\(found.warnings)")
    }

    /// A change that keeps the order of a column's values, or moves one of thousands, changes nothing.
    func testOutliersAndHeavyTailsDoNoHarm() throws {
        let changes: [(String, @Sendable (Int, Float) -> Float)] = [
            ("outlier among held-out rows", { row, x in row == 77 ? 1e30 : x }),
            ("overflow", { row, x in row == 5 || row == 6 ? 3e38 : x }),
            ("tail", { _, x in Float(sinh(5 * Double(x))) }),
        ]
        for (name, change) in changes {
            let alone = try estimate(Self.small(.donskerVaradhan), rows: 3000, dimensions: 1, rho: 0.9, change: change)
            XCTAssertEqual(alone.nats, 0.8304, accuracy: 0.1, name)
            XCTAssertEqual(alone.warnings, [], name)
            guard name == "tail" else { continue }
            let shared = try estimate(
                Self.small(.donskerVaradhan), rows: 3000, dimensions: 1, rho: 0.9, worldSize: 3, change: change)
            XCTAssertEqual(shared.nats, alone.nats, accuracy: 0.02, name)
        }
    }

    /// At a rate of 1 nothing is learned, which must not look like something.
    func testDivergenceIsSaid() throws {
        for estimator in [MutualInformationEstimator.mine, .nwj] {
            var settings = Self.small(estimator)
            settings.rate = 1
            settings.steps = 150
            // Magnitudes, of which the Gaussian that a critic starts from says nothing.
            let found = try estimate(settings, rows: 1000, dimensions: 3, rho: 0.5) { _, x in abs(x) }
            XCTAssertLessThan(found.nats, 0.5315, "\(estimator)")  // -3/2 ln 0.75 = 0.4315, less the signs
            XCTAssert(found.warnings.contains { $0.contains("training diverged") }, "\(estimator): \(found.warnings)")
        }
    }

    func testTrainingThatEndsTooSoonIsSaid() throws {
        var settings = Self.small(.mine)
        settings.steps = 60
        settings.rate = 1e-3
        let found = try estimate(settings, rows: 2000, dimensions: 1, rho: 0.9) { _, x in abs(x) }
        XCTAssertEqual(found.step, 60)
        XCTAssert(found.warnings.contains { $0.contains("still rising") }, "\(found.warnings)")
    }

    /// Rows that are all different, paired with themselves: unlimited information, of which 60 rows show ln(60 · 59).
    func testWhatSoManyRowsTellIsTheLimit() throws {
        let found = try onRanks(1) { ranks, device in
            let (x, _) = Self.gaussians(rows: 300, dimensions: 20, rho: 0, ranks: ranks, device: device)
            var settings = Self.small(.donskerVaradhan)
            settings.steps = 200
            return try settings(x: x, y: x, seed: 1, ranks: ranks, device: device)
        }[0]
        XCTAssertEqual(try XCTUnwrap(found.ceiling), log(60 * 59 + 1), accuracy: 1e-9)
        XCTAssertLessThanOrEqual(found.nats, found.ceiling ?? 0)
        XCTAssertGreaterThan(found.nats, 2)
    }

    func testACriticThatCannotFitIsRefused() throws {
        for kind in MutualInformationCriticKind.allCases {
            var settings = MutualInformation(critic: kind)
            settings.units = 1 << 20
            XCTAssertThrowsError(try estimate(settings, rows: 200, dimensions: 1, rho: 0.5)) {
                XCTAssert("\($0)".contains("a critic of 1048576 units"), "\($0)")
            }
        }
    }

    func testANetworkOverEveryPair() throws {
        var settings = MutualInformation(critic: .concatenated)
        settings.units = 24
        settings.batch = 48
        settings.candidates = 64
        settings.steps = 200
        settings.rate = 1e-2
        let alone = try estimate(settings, rows: 1500, dimensions: 1, rho: 0.9)
        XCTAssertEqual(alone.nats, 0.8304, accuracy: 0.12)
        let shared = try estimate(settings, rows: 1500, dimensions: 1, rho: 0.9, worldSize: 3)
        XCTAssertEqual(shared.nats, alone.nats, accuracy: 0.02)
    }
}
