import Collectives
import Evaluation
import Tensors
import XCTest

final class FeaturesTests: XCTestCase {
    func testRanksKnowWhoHoldsWhat() throws {
        let shares = try onRanks(3) { ranks, device in
            let features = try makeFeatures(rows: 7, classes: 2, ranks: ranks, device: device, counts: [3, 0, 4]) {
                ([Float($0)], $0 % 2)
            }
            return [features.rows, features.firstRow, features.labels.count, features.dimension]
        }
        XCTAssertEqual(shares, [[7, 0, 3, 1], [7, 3, 0, 1], [7, 3, 4, 1]])
    }

    func testBadRowsOnOneRankFailAll() {
        let cases: [(name: String, value: Float, label: Int)] = [("label", 1, 2), ("label", 1, -1), ("NaN", .nan, 0)]
        for (name, value, label) in cases {
            XCTAssertThrowsError(
                try onRanks(2) { ranks, device in
                    _ = try makeFeatures(rows: 4, classes: 2, ranks: ranks, device: device) {
                        $0 == 3 ? ([value], label) : ([1], 0)
                    }
                }
            ) { XCTAssertTrue("\($0)".contains(name), "\($0)") }
        }
    }

    func testRanksThatDisagreeFail() {
        XCTAssertThrowsError(
            try onRanks(2) { ranks, device in
                _ = try Features(
                    values: device.tensor([1, 2 + ranks.rank], filledWith: 0), labels: [0], classes: 2, ranks: ranks)
            }
        ) { XCTAssertTrue("\($0)".contains("disagree"), "\($0)") }
    }

    func testProbesRefuseSetsThatDoNotFit() {
        for probe in Probe.allCases {
            XCTAssertThrowsError(
                try onRanks(2) { ranks, device in
                    let train = try makeFeatures(rows: 4, classes: 2, ranks: ranks, device: device) {
                        ([1, 2], $0 % 2)
                    }
                    let test = try makeFeatures(rows: 4, classes: 2, ranks: ranks, device: device) { ([1], $0 % 2) }
                    _ = try score(probe, train: train, test: test, seed: 1, ranks: ranks, device: device)
                }
            ) { XCTAssertTrue("\($0)".contains("dimensions"), "\($0)") }
        }
    }

    func testStandardisationIsThatOfAllRanks() throws {
        // 1, 2, 3, 4, 5: mean 3, deviation sqrt 2, on top of a mean that would cancel; then a constant
        for worldSize in 1...3 {
            let results = try onRanks(worldSize) { ranks, device in
                let features = try makeFeatures(rows: 5, classes: 1, ranks: ranks, device: device) {
                    ([Float($0 + 1), Float($0 + 10_001), 0.1], 0)
                }
                let standard = try Standardisation(of: features, ranks: ranks, device: device)
                let result = device.tensor(features.values.shape)
                standard.apply(to: features.values.matrix, into: result.matrix)
                return (standard.mean, standard.deviation, result.array)
            }
            for (mean, deviation, _) in results {
                XCTAssertEqual(mean[0], 3, accuracy: 1e-6)
                XCTAssertEqual(mean[1], 10_003, accuracy: 1e-2)
                XCTAssertEqual(deviation[0], Float(2).squareRoot(), accuracy: 1e-6)
                XCTAssertEqual(deviation[1], Float(2).squareRoot(), accuracy: 1e-4)
                XCTAssertEqual(deviation[2], 1)
            }
            let first = results.flatMap(\.2).enumerated().filter { $0.offset % 3 == 0 }.map(\.element)
            for (found, expected) in zip(first, [-2, -1, 0, 1, 2] as [Float]) {
                XCTAssertEqual(found, expected / Float(2).squareRoot(), accuracy: 1e-6)
            }
        }
    }
}
