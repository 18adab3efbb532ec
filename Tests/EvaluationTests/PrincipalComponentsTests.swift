import Collectives
import Evaluation
import Tensors
import XCTest

final class PrincipalComponentsTests: XCTestCase {
    /// 5 + 3a·u + 2b·v with a, b = ±1 balanced, u = (1, 1, 1, 1)/2, v = (1, -1, 1, -1)/2: variances 9, 4, 0, 0.
    private static func sample(_ row: Int) -> (values: [Float], label: Int) {
        let (a, b): (Float, Float) = (row % 2 == 0 ? 1.5 : -1.5, row / 2 % 2 == 0 ? 1 : -1)
        return ([5 + a + b, 5 + a - b, 5 + a + b, 5 + a - b], row % 2)
    }

    func testFindsAPlantedPlaneAtEveryWorldSize() throws {
        for worldSize in 1...3 {
            let results = try onRanks(worldSize) { ranks, device in
                let train = try makeFeatures(
                    rows: 40, classes: 2, ranks: ranks, device: device, counts: worldSize == 3 ? [39, 0, 1] : nil,
                    sample: Self.sample)
                let components = try PrincipalComponents(of: train, count: 3, ranks: ranks, device: device)
                let transformed = try components.transform(train, device: device)
                return (
                    components.mean, components.variances, components.directions.array, transformed.values.array,
                    transformed.labels
                )
            }
            for (mean, variances, directions, _, _) in results {
                XCTAssertEqual(mean, [5, 5, 5, 5])
                for (found, expected) in zip(variances, [9, 4, 0] as [Float]) {
                    XCTAssertEqual(found, expected, accuracy: 1e-4)
                }
                XCTAssertEqual(directions, results[0].2)
                XCTAssertEqual(abs(directions[..<4].reduce(0, +)) / 2, 1, accuracy: 1e-5)
                let second = directions[4] - directions[5] + directions[6] - directions[7]
                XCTAssertEqual(abs(second) / 2, 1, accuracy: 1e-5)
            }
            XCTAssertEqual(results.flatMap(\.4), (0..<40).map { $0 % 2 })
            let coordinates = results.flatMap(\.3)
            for row in 0..<40 {
                XCTAssertEqual(abs(coordinates[3 * row]), 3, accuracy: 1e-4)
                XCTAssertEqual(abs(coordinates[3 * row + 1]), 2, accuracy: 1e-4)
                XCTAssertEqual(coordinates[3 * row + 2], 0, accuracy: 1e-4)
            }
        }
    }

    func testRefusesCountsThatDoNotExist() throws {
        for count in [0, 5] {
            XCTAssertThrowsError(
                try onRanks(2) { ranks, device in
                    let train = try makeFeatures(
                        rows: 8, classes: 2, ranks: ranks, device: device, sample: Self.sample)
                    _ = try PrincipalComponents(of: train, count: count, ranks: ranks, device: device)
                }
            ) { XCTAssertTrue($0 is InputError || $0 is ThreadFailure, "\($0)") }
        }
    }
}
