import Tensors
import XCTest

@testable import Evaluation

final class NormalScoresTests: XCTestCase {
    /// Quantiles of the normal distribution, as tables have them.
    func testQuantiles() {
        let quantiles = [
            (0.5, 0), (0.975, 1.959963984540054), (0.01, -2.3263478740408408), (0.3, -0.5244005127080409),
            (1e-9, -5.997807015007686), (0.9999, 3.719016485455709),
        ]
        for (p, x) in quantiles { XCTAssertEqual(normalQuantile(p), x, accuracy: 1e-9) }
    }

    /// 40 training rows of 0, 5, ... 35, five of each, and 2 rows more; by column as they are, with an outlier in row
    /// 7, with one beside the training rows, and constant.
    private static func value(_ row: Int, _ column: Int) -> Float {
        switch column {
        case 1 where row == 7: 1e30
        case 2 where row == 41: -1e9
        case 3: 4
        default: Float(row * 5 % 40)
        }
    }

    func testOnlyColumnsWithOutliersAreReplaced() throws {
        for parts in [[0..<42], [0..<11, 11..<42], [0..<11, 11..<42, 42..<42]] {
            let results = try onRanks(parts.count) { ranks, device in
                let own = parts[ranks.rank]
                let values = device.tensor([own.count, 4], own.flatMap { row in (0..<4).map { Self.value(row, $0) } })
                let training = own.filter { $0 < 40 }.map { $0 - own.lowerBound }
                let scale = try Standardisation(of: values, ownRows: training, ranks: ranks, device: device)
                let scores = try NormalScores(
                    of: values, ownRows: training, scale: scale, ranks: ranks, device: device)
                return (columns: scores.columns, values: scores.applied(to: values, device: device).array)
            }
            for (own, found) in zip(parts, results) {
                XCTAssertEqual(found.columns, [1, 2])
                for (index, row) in own.enumerated() {
                    let group = Double(row % 8)  // five equal values share the middle of their ranks
                    let shared = (5 * group + 2.5) / 40
                    // The outlier takes the last rank, and four are left of its group.
                    let first = row == 7 ? 39.5 / 40 : group == 7 ? 37.0 / 40 : shared
                    let second = row == 41 ? 2.5 / 40 : shared  // below all: as the lowest
                    let expected = [
                        Double(Self.value(row, 0)), normalQuantile(first), normalQuantile(second), 4,
                    ]
                    for (column, value) in expected.enumerated() {
                        XCTAssertEqual(Double(found.values[4 * index + column]), value, accuracy: 1e-6, "\(row)")
                    }
                }
            }
        }
    }
}
