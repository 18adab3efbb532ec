import Collectives
import Datasets
import Evaluation
import Tensors
import XCTest

/// The part of a rank, none on the second of three.
private func own(_ labels: [Int32], _ ranks: any Ranks) -> [Int32] {
    switch ranks.worldSize {
    case 1: labels
    case 2: ranks.rank == 0 ? Array(labels.prefix(2)) : Array(labels.dropFirst(2))
    default: ranks.rank == 0 ? Array(labels.prefix(1)) : ranks.rank == 1 ? [] : Array(labels.dropFirst(1))
    }
}

final class ClassNumbersTests: XCTestCase {
    private func check(
        train: [Int32], test: [Int32], _ body: @escaping @Sendable (ClassNumbers, any Ranks) throws -> Void
    ) throws {
        for worldSize in 1...3 {
            _ = try onRanks(worldSize) { ranks, _ in
                try body(ClassNumbers(train: own(train, ranks), test: own(test, ranks), ranks: ranks), ranks)
            }
        }
    }

    func testClassesOfBothSplitsAndAllRanksAreNumberedInTheirOrder() throws {
        try check(train: [60000, 0, -1, 40000, 0], test: [40000, 2_000_000_000, 0]) { classes, _ in
            XCTAssertEqual(classes.labels, [0, 40000, 60000, 2_000_000_000])
            XCTAssertEqual(classes.numbers(of: [40000, -1, 0, 2_000_000_000, 5]), [1, nil, 0, 3, nil])
            XCTAssertEqual(classes.unlabelled.train, 1)
            XCTAssertEqual(classes.unlabelled.test, 0)
        }
    }

    func testAccuraciesThatTellNothingAreNoted() throws {
        try check(train: [3, 5, 3], test: [5, 3]) { classes, _ in XCTAssertEqual(classes.notes, []) }
        try check(train: [3, 3, -1], test: [3, 3]) { classes, _ in
            XCTAssertEqual(classes.notes.count, 1)
            XCTAssertTrue(
                classes.notes[0].hasPrefix("all 2 training images with a label are of 1 class"), classes.notes[0])
        }
        try check(train: [3, 5, 7], test: [5, 5, 5, 5]) { classes, _ in
            XCTAssertEqual(classes.notes.count, 1)
            XCTAssertTrue(
                classes.notes[0].hasPrefix("all 4 test images with a label are of 1 class of 3"), "\(classes.notes)")
        }
        try check(train: [0, 1, 0], test: [1, 2, 2, 9, 0]) { classes, _ in
            XCTAssertEqual(
                classes.notes,
                ["3 of 5 test images are of 2 classes without training images, so no probe can classify them"])
        }
    }

    /// Rows without a label leave, and what stays is counted anew.
    func testFeaturesOfSomeRows() throws {
        for worldSize in 1...3 {
            let results = try onRanks(worldSize) { ranks, device in
                let all = try makeFeatures(rows: 7, classes: 3, ranks: ranks, device: device) { ([Float($0)], $0 % 3) }
                let own = (0..<all.labels.count).filter { (all.firstRow + $0) % 2 == 0 }
                let some = try all.rows(own, ranks: ranks, device: device)
                return (some.rows, some.firstRow, some.values.array, some.labels)
            }
            XCTAssertEqual(results.flatMap(\.2), [0, 2, 4, 6])
            XCTAssertEqual(results.flatMap(\.3), [0, 2, 1, 0])
            XCTAssertTrue(results.allSatisfy { $0.0 == 4 })
            XCTAssertEqual(results.map(\.1), results.indices.map { results[..<$0].reduce(0) { $0 + $1.3.count } })
        }
    }

    func testMoreClassesThanMemoryHoldsAreRefused() throws {
        XCTAssertThrowsError(
            try onRanks(2) { ranks, device in
                let sets = try (0..<2).map { _ in
                    try makeFeatures(rows: 4, classes: 1 << 40, ranks: ranks, device: device) { ([Float($0)], 0) }
                }
                _ = try LinearProbe()(train: sets[0], test: sets[1], seed: 1, ranks: ranks, device: device)
            }
        ) { XCTAssertTrue("\($0)".contains("1099511627776 classes of 1 features takes"), "\($0)") }
    }
}
