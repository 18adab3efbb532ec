import Collectives
import Foundation
import Tensors
import XCTest

@testable import Evaluation

final class LabelDrawsTests: XCTestCase {
    /// 40 rows of class 0, 10 of class 2 and 3 of class 3, mixed; none of class 1.
    private static let labels = (0..<53).map { row in row % 5 == 1 && row < 50 ? 2 : row % 20 == 7 ? 3 : 0 }

    private static func draws(_ ranks: any Ranks, _ labels: [Int] = labels) throws -> (LabelDraws, first: Int) {
        let (first, end) = (
            labels.count * ranks.rank / ranks.worldSize, labels.count * (ranks.rank + 1) / ranks.worldSize
        )
        return (try LabelDraws(labels: Array(labels[first..<end]), classes: 4, ranks: ranks), first)
    }

    /// All ranks' rows of a draw.
    private func rows(_ count: LabelCount, seed: UInt64, worldSize: Int) throws -> [Int] {
        try onRanks(worldSize) { ranks, _ in
            let (draws, first) = try Self.draws(ranks)
            let own = draws.ownRows(count, seed: seed).map { $0 + first }
            XCTAssertEqual(draws.rows(count), try ranks.sum([own.count])[0])
            return own
        }.flatMap { $0 }
    }

    private func classes(_ rows: [Int]) -> [Int] { (0..<4).map { c in rows.count { Self.labels[$0] == c } } }

    func testDrawsAreTheSameAtEveryWorldSize() throws {
        XCTAssertEqual(classes(Array(0..<53)), [40, 0, 10, 3])
        for (count, sizes) in [
            (LabelCount.perClass(2), [2, 0, 2, 2]), (.perClass(5), [5, 0, 5, 3]), (.percent(10), [4, 0, 1, 1]),
            (.percent(100), [40, 0, 10, 3]),
        ] {
            let drawn = try (1...3).map { try rows(count, seed: 4, worldSize: $0) }
            XCTAssertEqual(classes(drawn[0]), sizes, "\(count)")
            XCTAssertEqual(drawn[0], drawn[0].sorted(), "\(count)")
            XCTAssertEqual(drawn[1], drawn[0], "\(count)")
            XCTAssertEqual(drawn[2], drawn[0], "\(count)")
        }
        let few = try rows(.perClass(2), seed: 4, worldSize: 2)
        XCTAssertTrue(Set(few).isSubset(of: try rows(.perClass(5), seed: 4, worldSize: 3)))
        XCTAssertNotEqual(few, try rows(.perClass(2), seed: 5, worldSize: 2))
    }

    /// Every row of a class is as likely as the others: of 4,000 draws of 1 of 10 rows, each has 400 ± 19.
    func testRowsAreEquallyLikely() throws {
        let draws = try LabelDraws(labels: Array(repeating: 0, count: 10), classes: 1, ranks: SingleRank())
        var counts = [Int](repeating: 0, count: 10)
        for seed in 0..<4000 { for row in draws.ownRows(.perClass(1), seed: UInt64(seed)) { counts[row] += 1 } }
        for count in counts { XCTAssertEqual(Double(count), 400, accuracy: 5 * 19) }
    }

    func testSmallClassesAreNamed() throws {
        let (draws, _) = try Self.draws(SingleRank())
        XCTAssertNil(draws.remark(.perClass(3)))
        XCTAssertNil(draws.remark(.percent(50)))
        XCTAssertEqual(
            draws.remark(.perClass(11)),
            "@11: 2 of 3 classes have fewer than 11 training images with a label, the smallest 3, so all of theirs are "
                + "used")
        XCTAssertEqual(
            draws.remark(.percent(10)),
            "@10%: 1 of 3 classes have too few training images for 10%, the smallest 3, so each gives one")
    }

    func testCountsWithoutRowsAreRefused() throws {
        let (draws, _) = try Self.draws(SingleRank())
        func refused(_ count: LabelCount, _ texts: String...) {
            XCTAssertThrowsError(try draws.check(count, option: "--labels")) { error in
                for text in texts { XCTAssertTrue("\(error)".contains(text), "\(error)") }
            }
        }
        try draws.check(.perClass(40), option: "--labels")
        refused(.perClass(41), "--labels is 41", "the largest has 40", "at most 40")
        try draws.check(.percent(1.25), option: "--labels")  // half a row
        refused(.percent(1.24), "--labels is 1.24%", "less than one")
    }

    func testCountsAreReadFromText() throws {
        XCTAssertEqual(
            try LabelCount.list("10,100,1%,0.5%,100%", option: "--labels"),
            [.perClass(10), .perClass(100), .percent(1), .percent(0.5), .percent(100)])
        XCTAssertEqual(
            try LabelCount.list("007,1.0%,0.50%", option: "--labels").map(\.description), ["7", "1%", "0.5%"])
        for text in [
            "0", "-1", "abc", "1.5", "", "10,", ",10", "0%", "200%", "-1%", "nan%", "%", "1%%", "99999999999999999999",
        ] {
            XCTAssertThrowsError(try LabelCount.list(text, option: "--labels"), text) { error in
                XCTAssertTrue("\(error)".hasPrefix("--labels is "), "\(error)")
            }
        }
        XCTAssertThrowsError(try LabelCount.list("1%,1.0%", option: "--labels")) { error in
            XCTAssertTrue("\(error)".contains("1% is given twice"), "\(error)")
        }
    }

    func testFoldsHaveEqualPartsOfEachClassAtEveryWorldSize() throws {
        func folds(_ worldSize: Int, seed: UInt64) throws -> [Int] {
            try onRanks(worldSize) { ranks, device in
                let features = try makeFeatures(rows: 53, classes: 4, ranks: ranks, device: device) {
                    ([Float($0)], Self.labels[$0])
                }
                let folds = try Folds(of: features, most: 5, seed: seed, ranks: ranks)
                XCTAssertEqual(folds.count, 5)
                return folds.own
            }.flatMap { $0 }
        }
        let found = try folds(1, seed: 2)
        let sizes = (0..<5).map { fold in classes(found.indices.filter { found[$0] == fold }) }
        for c in [0, 2, 3] {
            let ofClass = sizes.map { $0[c] }
            XCTAssertLessThanOrEqual((ofClass.max() ?? 9) - (ofClass.min() ?? 0), 1, "\(sizes)")
        }
        XCTAssertEqual(sizes.map { $0.reduce(0, +) }.sorted(), [10, 10, 11, 11, 11])
        XCTAssertEqual(try folds(2, seed: 2), found)
        XCTAssertEqual(try folds(3, seed: 2), found)
        XCTAssertNotEqual(try folds(2, seed: 3), found)
    }

    /// Scores by scikit-learn, as `Fixtures/few_labels.py` writes them.
    private struct Case: Decodable {
        let count: String
        let seed: UInt64
        let rows: [Int]
        let penalty: Double
        let linear: Double
        let knn: Double
    }

    /// The same classifiers on the same rows as scikit-learn's, at every world size.
    func testScoresOfFewLabelsAreThoseOfScikitLearn() throws {
        let url = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("Fixtures/few_labels.json")
        let cases = try JSONDecoder().decode([Case].self, from: Data(contentsOf: url))
        XCTAssertEqual(cases.count, 6)
        for worldSize in 1...3 {
            let results = try onRanks(worldSize) { ranks, device in
                func sample(_ row: Int) -> (values: [Float], label: Int) {
                    var stream = RandomStream(row: row)
                    let label = stream.index(below: 10)
                    return ((0..<12).map { ($0 == label ? 2.5 : 0) + stream.normal() }, label)
                }
                let train = try makeFeatures(rows: 600, classes: 10, ranks: ranks, device: device, sample: sample)
                let test = try makeFeatures(rows: 1000, classes: 10, ranks: ranks, device: device) { sample($0 + 600) }
                let draws = try LabelDraws(labels: train.labels, classes: 10, ranks: ranks)
                var probe = LinearProbe()
                (probe.minimiser.tolerance, probe.minimiser.smallestDecrease) = (1e-6, 1e-9)
                probe.minimiser.iterations = 1000
                return try cases.map { expected in
                    let count = try LabelCount.list(expected.count, option: "count")[0]
                    let own = draws.ownRows(count, seed: expected.seed)
                    let rows = try train.rows(own, ranks: ranks, device: device)
                    let fit = try probe(
                        train: rows, test: test, seed: expected.seed, ranks: ranks, device: device)
                    let neighbours = try NearestNeighbours()(train: rows, test: test, ranks: ranks, device: device)
                    let usual = try score(
                        .linear, train: rows, test: test, seed: expected.seed, ranks: ranks, device: device)
                    return (
                        rows: own.map { $0 + train.firstRow }, penalty: fit.penalty, linear: fit.accuracy,
                        knn: neighbours, usual: usual.value
                    )
                }
            }
            for (index, expected) in cases.enumerated() {
                let name = "\(expected.count), seed \(expected.seed), \(worldSize) ranks"
                let found = results[0][index]
                XCTAssertEqual(results.flatMap { $0[index].rows }, expected.rows, name)
                XCTAssertEqual(found.penalty, expected.penalty, accuracy: 1e-9, name)
                XCTAssertEqual(found.linear, expected.linear, accuracy: 1.5e-3, name)  // one of 1000 rows
                XCTAssertEqual(found.knn, expected.knn, accuracy: 1.5e-3, name)
                XCTAssertEqual(found.usual, expected.linear, accuracy: 0.02, name)  // by the usual tolerance
            }
        }
    }
}
