import Collectives
import Evaluation
import Foundation
import Tensors
import XCTest

/// Dependence that is far from a smooth function's: what is right is known, and a network alone falls short of it.
final class SharpDependenceTests: XCTestCase {
    private func estimate(
        _ settings: MutualInformation, rows: Int, worldSize: Int = 1,
        row: @escaping @Sendable (_ row: Int, _ stream: inout RandomStream) -> (x: [Float], y: [Float])
    ) throws -> MutualInformationEstimate {
        try onRanks(worldSize) { ranks, device in
            let own = rows * ranks.rank / worldSize..<rows * (ranks.rank + 1) / worldSize
            var (x, y): ([Float], [Float]) = ([], [])
            for index in own {
                var stream = RandomStream(row: index)
                let made = row(index, &stream)
                x += made.x
                y += made.y
            }
            let count = max(own.count, 1)
            return try settings(
                x: device.tensor([own.count, x.count / count], x), y: device.tensor([own.count, y.count / count], y),
                seed: 1, ranks: ranks, device: device)
        }[0]
    }

    private static var small: MutualInformation {
        var settings = MutualInformation()
        settings.units = 32
        settings.embedding = 16
        settings.batch = 256
        settings.steps = 300
        settings.rate = 3e-3
        return settings
    }

    /// y = x + noise of a hundredth: ln(10001)/2.
    func testNoiseOfAHundredth() throws {
        for worldSize in [1, 3] {
            let found = try estimate(Self.small, rows: 6000, worldSize: worldSize) { _, stream in
                let x = stream.normal()
                return ([x], [x + 0.01 * stream.normal()])
            }
            XCTAssertEqual(found.nats, 4.605, accuracy: 0.23, "\(worldSize) ranks")
            XCTAssertEqual(try XCTUnwrap(found.reference).nats, 4.605, accuracy: 0.1)
        }
    }

    /// Noise with edges, U(0, 0.2) of x in U(0, 1): 0.1 - ln 0.2.
    func testUniformNoise() throws {
        let found = try estimate(Self.small, rows: 6000) { _, stream in
            let x = stream.uniform()
            return ([x], [x + 0.2 * stream.uniform()])
        }
        XCTAssertEqual(found.nats, 1.709, accuracy: 0.1)
        XCTAssertEqual(found.warnings, [])
    }

    /// One of 30 labels says which of 30 positions in 6 columns: ln 30.
    func testLabels() throws {
        for isX in [true, false] {
            let found = try estimate(Self.small, rows: 3000) { row, stream in
                let label = row * 7 % 30
                var position = RandomStream(row: 100_000 + label)
                let features = (0..<6).map { _ in 6 * position.normal() + stream.normal() }
                // In another unit, as files are read.
                let number = (Float(label) - 14) / 7
                return isX ? ([number], features) : (features, [number])
            }
            XCTAssertEqual(found.nats, log(30), accuracy: 0.1, "labels as x: \(isX)")
            XCTAssertNil(found.reference)
        }
    }

    /// A rate at which validation rows soon fall, and what is left to learn at a lower one: sin 12u + noise, 1.15 nats
    /// by nearest neighbours.
    func testASineIsLearned() throws {
        var settings = Self.small
        settings.steps = 600
        let found = try estimate(settings, rows: 5000) { _, stream in
            let u = stream.uniform()
            return ([u], [sin(12 * u) + 0.2 * stream.normal()])
        }
        let reference = try XCTUnwrap(found.reference).nats
        XCTAssertEqual(found.nats, reference, accuracy: 0.1)
        XCTAssertGreaterThan(reference, 0.9)
    }

    /// Independent rows of 12 and 4 columns, each four times: nothing, and a word on the copies.
    func testCopiesAreNotFoundOnBothSides() throws {
        for worldSize in [1, 3] {
            let found = try estimate(Self.small, rows: 1600, worldSize: worldSize) { row, _ in
                var stream = RandomStream(row: row * 3 % 1600 / 4)
                return ((0..<12).map { _ in stream.normal() }, (0..<4).map { _ in stream.normal() })
            }
            XCTAssertLessThan(abs(found.nats), 0.1, "\(worldSize) ranks")
            XCTAssertEqual(found.rows.copies, 1200)
            XCTAssert(found.warnings.contains { $0.contains("1200 of 1600 are copies") }, "\(found.warnings)")
        }
    }
}
