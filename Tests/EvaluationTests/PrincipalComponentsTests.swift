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
                XCTAssertEqual(variances.count, 2, "of three asked for: nothing varies along the third")
                for (found, expected) in zip(variances, [9, 4] as [Float]) {
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
                XCTAssertEqual(abs(coordinates[2 * row]), 3, accuracy: 1e-4)
                XCTAssertEqual(abs(coordinates[2 * row + 1]), 2, accuracy: 1e-4)
            }
        }
    }

    func testThereAreNoMoreThanRowsLessOne() throws {
        for largest in [4096, 1] {
            let found = try onRanks(2) { ranks, device in
                let train = try makeFeatures(rows: 9, classes: 1, ranks: ranks, device: device, sample: Self.spectrum)
                let components = try PrincipalComponents(
                    of: train, count: 64, largestCovariance: largest, ranks: ranks, device: device)
                return (components.variances, components.directions.shape)
            }
            XCTAssertEqual(found[0].1, [8, 200], "\(largest)")
            XCTAssertEqual(found[0].0, found[1].0)
        }
    }

    func testColumnsThatDependOnOthersAddNone() throws {
        @Sendable func sample(_ row: Int) -> (values: [Float], label: Int) {
            var stream = RandomStream(row: row)
            let z = [stream.normal(), stream.normal(), stream.normal()]
            let values: [Float] = (0..<200).map { column in
                let first = Float(column) * z[0]
                return 7 + first - Float(column % 9) * z[1] + Float(column % 5) * z[2]
            }
            return (values, 0)
        }
        for largest in [200, 199] {
            for worldSize in 1...2 {
                let counts = try onRanks(worldSize) { ranks, device in
                    let train = try makeFeatures(rows: 500, classes: 1, ranks: ranks, device: device, sample: sample)
                    return try PrincipalComponents(
                        of: train, count: 64, largestCovariance: largest, ranks: ranks, device: device
                    ).variances.count
                }
                XCTAssertEqual(counts, Array(repeating: 3, count: worldSize), "\(largest), \(worldSize) ranks")
            }
        }
    }

    /// Normal rows of 200 dimensions, whose deviations fall as 1/(1 + j/4), each mixed with its neighbours.
    private static func spectrum(_ row: Int) -> (values: [Float], label: Int) {
        var stream = RandomStream(row: row)
        let z = (0..<200).map { stream.normal() / (1 + Float($0) / 4) }
        return (z.indices.map { 3 + z[$0] + 0.5 * z[($0 + 7) % 200] }, 0)
    }

    func testSearchFindsWhatTheCovarianceHas() throws {
        func components(_ worldSize: Int, largestCovariance: Int) throws -> [(variances: [Float], rows: [Float])] {
            try onRanks(worldSize) { ranks, device in
                let train = try makeFeatures(
                    rows: 500, classes: 1, ranks: ranks, device: device, counts: worldSize == 3 ? [499, 0, 1] : nil,
                    sample: Self.spectrum)
                let found = try PrincipalComponents(
                    of: train, count: 20, largestCovariance: largestCovariance, ranks: ranks, device: device)
                return (found.variances, found.directions.array)
            }
        }
        let direct = try components(1, largestCovariance: 200)[0]
        let alone = try components(1, largestCovariance: 199)[0]
        XCTAssertEqual(alone.variances.count, 20)
        for (a, b) in zip(alone.variances, direct.variances) { XCTAssertEqual(a / b, 1, accuracy: 1e-3) }
        // Principal angles of the leading ten: Σ over all pairs of cos² is ten where the subspaces are one.
        var squares: Float = 0
        for i in 0..<10 {
            for j in 0..<10 {
                let (a, b) = (alone.rows[i * 200..<(i + 1) * 200], direct.rows[j * 200..<(j + 1) * 200])
                let product = zip(a, b).reduce(0) { $0 + $1.0 * $1.1 }
                squares += product * product
                if i == j { XCTAssertGreaterThan(product, 0.999, "component \(i), sign and all") }
            }
        }
        XCTAssertEqual(squares, 10, accuracy: 1e-3)
        for worldSize in 2...3 {
            let found = try components(worldSize, largestCovariance: 199)
            for rank in found {
                XCTAssertEqual(rank.variances, found[0].variances)
                XCTAssertEqual(rank.rows, found[0].rows)
            }
            for (a, b) in zip(found[0].rows[..<2000], alone.rows) { XCTAssertEqual(a, b, accuracy: 1e-3) }
        }
    }

    func testRefusesRowsThatAreAllTheSame() throws {
        for value: Float in [0, 0.1, 1000] {
            XCTAssertThrowsError(
                try onRanks(1) { ranks, device in
                    let train = try makeFeatures(rows: 7, classes: 1, ranks: ranks, device: device) { _ in
                        ([value, value, -value], 0)
                    }
                    _ = try PrincipalComponents(of: train, count: 2, ranks: ranks, device: device)
                }
            ) { XCTAssertTrue("\($0)".contains("every row is the same"), "\($0)") }
        }
    }

    func testRefusesCountsThatDoNotExist() throws {
        for count in [0, -1] {
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
