import Collectives
import Foundation
import Tensors
import XCTest

@testable import Evaluation

final class NeighbourInformationTests: XCTestCase {
    /// Of rows [n, columns] on so many ranks; the same on each.
    private func found(
        _ x: [[Float]], _ y: [[Float]], worldSize: Int = 1
    ) throws -> NeighbourInformation {
        let results = try onRanks(worldSize) { ranks, device in
            try NeighbourInformation(
                x: device.tensor([x.count, x[0].count], x.flatMap { $0 }),
                y: device.tensor([y.count, y[0].count], y.flatMap { $0 }), ranks: ranks)
        }
        XCTAssertEqual(Set(results.map(\.nats)).count, 1, "ranks disagree")
        return results[0]
    }

    private static func digamma(_ n: Int) -> Double {
        (1..<max(n, 1)).reduce(-0.577_215_664_901_532_9) { $0 + 1 / Double($1) }
    }

    /// Over all pairs of rows, as the papers have it.
    private static func defined(_ x: [[Float]], _ y: [[Float]]) -> Double {
        func distance(_ a: [Float], _ b: [Float]) -> Float { zip(a, b).map { abs($0 - $1) }.max() ?? 0 }
        let all = x.indices
        let values = all.map { i -> Double in
            let dx = all.map { distance(x[i], x[$0]) }
            let dy = all.map { distance(y[i], y[$0]) }
            let both = all.map { max(dx[$0], dy[$0]) }
            let radius = all.filter { $0 != i }.map { both[$0] }.sorted()[NeighbourInformation.neighbours - 1]
            func near(_ distances: [Float]) -> Int {
                distances.filter { radius > 0 ? $0 < radius : $0 == 0 }.count
            }
            let k = radius > 0 ? NeighbourInformation.neighbours : near(both)
            return digamma(k) + digamma(x.count) - digamma(near(dx)) - digamma(near(dy))
        }
        return values.reduce(0, +) / Double(values.count)
    }

    private static func rows(_ count: Int, _ columns: Int, purpose: Int) -> [[Float]] {
        (0..<count).map { row in
            var stream = RandomStream(row: row + 10_000 * purpose)
            return (0..<columns).map { _ in stream.normal() }
        }
    }

    func testIsTheDefinition() throws {
        for (columns, others) in [(1, 1), (2, 1), (3, 5)] {
            let x = Self.rows(150, columns, purpose: 1)
            let noise = Self.rows(150, others, purpose: 2)
            let y = zip(x, noise).map { x, noise in noise.map { $0 * 0.3 + x[0] } }
            let labels = x.map { [($0[0] * 2).rounded()] }  // values that repeat
            for (x, y) in [(x, y), (x, labels), (labels, y), (labels, labels)] {
                let expected = Self.defined(x, y)
                for worldSize in [1, 3] {
                    let value = try found(x, y, worldSize: worldSize).nats
                    XCTAssertEqual(value, expected, accuracy: 1e-10, "\(columns) + \(others), \(worldSize) ranks")
                }
            }
        }
    }

    func testCorrelatedGaussians() throws {
        for (rho, count) in [(Float(0.9), 4000), (0, 4000)] {
            let x = Self.rows(count, 1, purpose: 3)
            let noise = Self.rows(count, 1, purpose: 4)
            let y = zip(x, noise).map { [rho * $0[0] + (1 - rho * rho).squareRoot() * $1[0]] }
            let value = try found(x, y)
            XCTAssertEqual(value.nats, -0.5 * log(1 - Double(rho * rho)), accuracy: 0.05)
            XCTAssertLessThan(value.standardError, 0.03)
        }
    }

    /// Labels against themselves: their entropy.
    func testLabels() throws {
        let labels = (0..<1000).map { [Float($0 % 10)] }
        XCTAssertEqual(try found(labels, labels).nats, log(10), accuracy: 0.01)
    }
}
