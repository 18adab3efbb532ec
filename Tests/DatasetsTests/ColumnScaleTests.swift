import Collectives
import XCTest

@testable import Datasets

/// In XCTest, as all that needs ranks.
final class ColumnScaleTests: XCTestCase {
    /// Columns as doubles and what comes of them as Float: each within Float's digits of its distance from the first
    /// row.
    private func check(_ array: NumPyArray, _ distance: (_ row: Int, _ column: Int) -> Double, line: UInt = #line)
        throws
    {
        let scale = try ColumnScale(of: array)
        let values = try array.read(rows: 0..<array.rows, by: scale)
        for (index, value) in values.enumerated() {
            let (row, column) = index.quotientAndRemainder(dividingBy: array.rowSize)
            let found = Double(value - values[column]) * scale.unit[column]
            let expected = distance(row, column)
            XCTAssertEqual(found, expected, accuracy: 1e-6 * scale.unit[column] * 10, "\(row), \(column)", line: line)
        }
    }

    func testNothingIsLostAroundALargeNumber() throws {
        let folder = try TemporaryFolder()
        func wave(_ row: Int) -> Double { sin(Double(row * row)) }
        let doubles = (0..<200).flatMap { row -> [Double] in
            let value = wave(row)
            return [1.7e9 + value, 1e-30 * value, 1e200 * value, value]
        }
        let path = try folder.writeArray("x.npy", "<f8", [200, 4], doubles)
        try check(NumPyArray(path: path)) { doubles[4 * $0 + $1] - doubles[$1] }
        let floats = doubles.enumerated().map { index, value -> Float in index % 4 == 2 ? 0 : Float(value) }
        let narrow = try folder.writeArray("x.npy", "<f4", [200, 4], floats)
        try check(NumPyArray(path: narrow)) { Double(floats[4 * $0 + $1]) - Double(floats[$1]) }
    }

    /// Nanoseconds since 1970, which Double holds to 256 of them, and hashes of 64 bits.
    func testWholeNumbersOfSixtyFourBitsAreSubtractedAsSuch() throws {
        let folder = try TemporaryFolder()
        let times = (0..<200).map { 1_700_000_000_000_000_000 + Int64($0 * $0 % 41) }
        let signed = try NumPyArray(
            path: folder.writeArray("x.npy", "<i8", [200], times), accepting: NumPyElement.allCases)
        try check(signed) { row, _ in Double(times[row] - times[0]) }
        let hashes = (0..<200).map { UInt64.max - UInt64($0 * $0 % 41) }
        let unsigned = try NumPyArray(
            path: folder.writeArray("x.npy", "<u8", [200], hashes), accepting: NumPyElement.allCases)
        try check(unsigned) { row, _ in -Double(hashes[0] - hashes[row]) }
        let ends = (0..<200).map { $0 % 2 == 0 ? Int64.min : .max }
        let wide = try NumPyArray(
            path: folder.writeArray("x.npy", "<i8", [200], ends), accepting: NumPyElement.allCases)
        try check(wide) { row, _ in row % 2 == 0 ? 0 : 0x1p64 }
    }

    func testConstantColumnsAreFoundOverAllRanks() throws {
        let folder = try TemporaryFolder()
        // Varies; is constant; varies by rounding only; is constant but for one row of the last rank.
        let values = (0..<30).flatMap { row -> [Double] in
            let rounded: Double = row % 2 == 0 ? 0.3 : 0.1 + 0.2
            let last: Double = row == 29 ? 1e9 + 1e-3 : 1e9
            return [Double(row), 7, rounded, last]
        }
        let path = try folder.writeArray("x.npy", "<f8", [30, 4], values)
        for worldSize in 1...3 {
            try ThreadRank.run(worldSize) { ranks in
                let array = try NumPyArray(path: path)
                let scale = try ColumnScale(of: array)
                let rows = 30 * ranks.rank / worldSize..<30 * (ranks.rank + 1) / worldSize
                let constants = try scale.constantColumns(of: array.read(rows: rows, by: scale), ranks: ranks)
                XCTAssertEqual(constants, [1, 2])
            }
        }
    }

    func testFewConstantColumnsAreNamed() {
        XCTAssertNil(constantsRemark([], of: 3, noun: "column"))
        XCTAssertEqual(
            constantsRemark([2], of: 3, noun: "channel"),
            "channel 2 (of 0 to 2) is constant and carries no "
                + "information")
        XCTAssertEqual(
            constantsRemark(Array(0..<10), of: 12, noun: "column"),
            "10 of 12 columns are constant and carry no information: 0, 1, 2, 3, 4, 5, 6, 7 and 2 more, counted from 0")
    }
}
