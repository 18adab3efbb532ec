import Collectives
import Tensors
import XCTest

@testable import Evaluation

final class EqualRowsTests: XCTestCase {
    private func equal(_ x: [Float], _ y: [Float], areLabels: Bool = false, worldSize: Int = 1) throws -> EqualRows {
        try onRanks(worldSize) { ranks, device in
            let holders = worldSize == 3 ? 2 : worldSize  // the last of three has none
            let holder = min(ranks.rank, holders)
            let own = x.count * holder / holders..<x.count * min(holder + 1, holders) / holders
            return try EqualRows(
                x: device.tensor([own.count, 1], Array(x[own])), y: device.tensor([own.count, 1], Array(y[own])),
                areLabels: areLabels, ranks: ranks)
        }[0]
    }

    func testCopiesAreKnownWhereverTheyLie() throws {
        for worldSize in 1...3 {
            let found = try equal([1, 2, 0, 2, 1, -0, 7], [5, 6, 3, 6, 5, 3, 6], worldSize: worldSize)
            XCTAssertEqual(found.first, [0, 1, 2, 1, 0, 2, 6], "\(worldSize) ranks")
            XCTAssertEqual(found.copies, 3)
        }
    }

    /// Dry days at two stations, which also meet wet ones.
    func testValuesThatMeetOthersTooAreNoCopies() throws {
        let found = try equal([0, 0, 0, 0, 3.5], [0, 0, 0, 1.5, 0])
        XCTAssertEqual(found.copies, 0)
        XCTAssertEqual(found.first, [0, 1, 2, 3, 4])
        XCTAssertEqual(try equal([1, 1, 2], [3, 3, 4], areLabels: true).copies, 0)
        XCTAssertEqual(try equal([1, 1, 2], [3, 3, 4]).copies, 1)
    }

    func testASplitKeepsThemTogether() throws {
        let found = try equal([1, 2, 3, 2, 1, 1], [1, 2, 3, 2, 1, 1])
        let order = found.together([3, 0, 2, 5, 1, 4])
        XCTAssertEqual(order, [3, 1, 0, 5, 4, 2])
        XCTAssertEqual((0...6).map { found.start(at: $0, of: order) }, [0, 2, 2, 5, 5, 5, 6])
        XCTAssertEqual(found.unique(order), [3, 0, 2])
        // Clusters of 2, 3 and 1 rows: sqrt((4 + 9 + 1)/6).
        XCTAssertEqual(found.errorFactor(of: order), (14.0 / 6).squareRoot(), accuracy: 1e-12)
    }
}
