import Collectives
import Evaluation
import Foundation
import Tensors
import XCTest

final class NeuralDependencyTests: XCTestCase {
    /// Standard normal rows of four dimensions, of which the first two have this correlation.
    private static func features(
        _ rows: Range<Int>, correlation: Float, ranks: any Ranks, device: Device, counts: [Int]? = nil
    ) throws -> Features {
        try makeFeatures(rows: rows.count, classes: 1, ranks: ranks, device: device, counts: counts) { row in
            var stream = RandomStream(row: rows.lowerBound + row)
            let z = (0..<4).map { _ in stream.normal() }
            let second = correlation * z[0] + (1 - correlation * correlation).squareRoot() * z[1]
            return ([3 + 2 * z[0], second, z[2], z[3]], 0)  // shift and scale don't matter
        }
    }

    private static var probe: NeuralDependency {
        var probe = NeuralDependency()
        probe.hiddenUnits = [64, 32]
        probe.batch = 1000
        probe.steps = 150
        probe.rate = 3e-3
        return probe
    }

    private static func measure(_ correlation: Float, worldSize: Int, counts: ([Int], [Int])? = nil) throws -> [Double]
    {
        try onRanks(worldSize) { ranks, device in
            let train = try features(
                0..<4000, correlation: correlation, ranks: ranks, device: device, counts: counts?.0)
            let test = try features(
                4000..<8000, correlation: correlation, ranks: ranks, device: device, counts: counts?.1)
            return try probe(train: train, test: test, seed: 1, ranks: ranks, device: device)
        }
    }

    func testIndependentDimensionsGiveNothing() throws {
        XCTAssertEqual(try Self.measure(0, worldSize: 1)[0], 0, accuracy: 0.03)
    }

    func testCorrelatedNormalsGiveTheirTotalCorrelation() throws {
        // -½ ln det R = -½ ln(1 - ρ²): 0.51 nats at 0.8, 0.83 at 0.9. A bound, of 4000 rows: 0.1 below and 0.05 above.
        for correlation: Float in [0.8, 0.9] {
            let expected = -0.5 * log(1 - Double(correlation * correlation))
            let found = try Self.measure(correlation, worldSize: 1)[0]
            XCTAssertGreaterThan(found, expected - 0.1)
            XCTAssertLessThan(found, expected + 0.05)
        }
    }

    func testIsTheSameAtEveryWorldSize() throws {
        let one = try Self.measure(0.8, worldSize: 1)[0]
        for (worldSize, counts) in [(2, nil), (3, ([4000 - 1001, 0, 1001], [0, 1500, 2500]))]
            as [(Int, ([Int], [Int])?)]
        {
            let found = try Self.measure(0.8, worldSize: worldSize, counts: counts)
            XCTAssertEqual(Set(found).count, 1, "\(worldSize) ranks")
            XCTAssertEqual(found[0], one, accuracy: 2e-3, "\(worldSize) ranks")
        }
    }

    func testMarksWhatSoManyRowsCannotTell() {
        // ln 60 = 4.09
        let notes = NeuralDependency.notes(of: 8429, testRows: 60)
        XCTAssertEqual(notes.count, 1)
        XCTAssertTrue(notes[0].contains("60 test rows") && notes[0].contains("4.1 nats"), notes[0])
        XCTAssertEqual(NeuralDependency.notes(of: 4, testRows: 60), [])
        XCTAssertEqual(NeuralDependency.notes(of: -0.01, testRows: 60), [])
        XCTAssertTrue(NeuralDependency.notes(of: -3, testRows: 60).joined().contains("below 0"))
    }
}
