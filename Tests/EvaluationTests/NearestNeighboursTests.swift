import Evaluation
import Foundation
import Tensors
import XCTest

final class NearestNeighboursTests: XCTestCase {
    /// Three overlapping classes in 6 dimensions, every seventh row doubled at another length, so that there are ties.
    private static func sample(_ row: Int) -> (values: [Float], label: Int) {
        var stream = RandomStream(row: row % 7 == 6 ? row - 6 : row)
        let label = stream.index(below: 3)
        let values = (0..<6).map { ($0 == label ? 1 : 0) + stream.normal() }
        return row % 7 == 6 ? (values.map { 4 * $0 }, (label + 1) % 3) : (values, label)
    }

    private static let trainRows = 1500
    private static let testRows = 300

    /// All similarities in Double, sorted, one test row after another.
    private func naiveAccuracy(neighbours: Int) -> Double {
        func unit(_ x: [Float]) -> [Double] {
            let length = x.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
            return x.map { Double($0) / length }
        }
        let train = (0..<Self.trainRows).map { (unit(Self.sample($0).values), Self.sample($0).label) }
        var correct = 0
        for row in 0..<Self.testRows {
            let (values, label) = Self.sample(row + Self.trainRows)
            let query = unit(values)
            var scored: [(similarity: Double, index: Int, label: Int)] = []
            for (index, row) in train.enumerated() {
                let similarity: Double = zip(row.0, query).reduce(0) { $0 + $1.0 * $1.1 }
                // Rounded, so that a row and its copy of another length are as equal as in Float32.
                scored.append(((similarity * 1e6).rounded() / 1e6, index, row.1))
            }
            scored.sort { a, b in a.similarity != b.similarity ? a.similarity > b.similarity : a.index < b.index }
            var votes = [0.0, 0, 0]
            for (similarity, _, label) in scored.prefix(neighbours) { votes[label] += exp(similarity / 0.07) }
            if votes.indices.max(by: { votes[$0] < votes[$1] }) == label { correct += 1 }
        }
        return Double(correct) / Double(Self.testRows)
    }

    private func accuracies(worldSize: Int, neighbours: Int) throws -> [Double] {
        try onRanks(worldSize) { ranks, device in
            let train = try makeFeatures(
                rows: Self.trainRows, classes: 3, ranks: ranks, device: device, sample: Self.sample)
            let test = try makeFeatures(rows: Self.testRows, classes: 3, ranks: ranks, device: device) {
                Self.sample($0 + Self.trainRows)
            }
            var knn = NearestNeighbours()
            knn.count = neighbours
            return try knn(train: train, test: test, ranks: ranks, device: device)
        }
    }

    func testAgreesWithTheNaiveOneAtEveryWorldSize() throws {
        for neighbours in [1, 20] {
            let expected = naiveAccuracy(neighbours: neighbours)
            XCTAssertGreaterThan(expected, 0.4)
            XCTAssertLessThan(expected, 0.95)
            for worldSize in 1...3 {
                let found = try accuracies(worldSize: worldSize, neighbours: neighbours)
                XCTAssertEqual(
                    found, Array(repeating: expected, count: worldSize), "\(neighbours) of \(worldSize) ranks")
            }
        }
    }

    func testOfEqualNeighboursTheFirstVotes() throws {
        for worldSize in 1...3 {
            let results = try onRanks(worldSize) { ranks, device in
                // Four training rows along one direction, of labels 2, 0, 1, 0; zeros are similar to nothing.
                let train = try makeFeatures(rows: 5, classes: 3, ranks: ranks, device: device) {
                    $0 == 0 ? ([0, 0], 1) : ([2, 0], [1, 2, 0, 1, 0][$0])
                }
                let test = try makeFeatures(rows: 3, classes: 3, ranks: ranks, device: device) { _ in ([1, 0], 2) }
                var knn = NearestNeighbours()
                knn.count = 1
                let one = try knn(train: train, test: test, ranks: ranks, device: device)
                knn.count = 100  // more than there are: label 0 has two full votes
                return [one, try knn(train: train, test: test, ranks: ranks, device: device)]
            }
            for result in results { XCTAssertEqual(result, [1, 0], "\(worldSize) ranks") }
        }
    }
}
