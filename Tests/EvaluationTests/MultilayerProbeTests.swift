import Evaluation
import Tensors
import XCTest

final class MultilayerProbeTests: XCTestCase {
    func testSolvesWhatNoLineCan() throws {
        var accuracies: [Double] = []
        for worldSize in 1...3 {
            let results = try onRanks(worldSize) { ranks, device in
                let train = try makeFeatures(rows: 400, classes: 2, ranks: ranks, device: device, sample: exclusiveOr)
                let test = try makeFeatures(rows: 400, classes: 2, ranks: ranks, device: device) {
                    exclusiveOr($0 + 400)
                }
                var probe = MultilayerProbe()
                probe.hiddenUnits = 32
                probe.batch = 50
                probe.rate = 1e-2
                probe.epochs = 15
                probe.leastSteps = 0
                let linear = try score(.linear, train: train, test: test, seed: 1, ranks: ranks, device: device)
                return [linear, try probe(train: train, test: test, seed: 1, ranks: ranks, device: device)]
            }
            XCTAssertEqual(Set(results).count, 1, "world size \(worldSize)")
            XCTAssertLessThan(results[0][0], 0.8, "the linear probe")  // three blobs of four at best
            XCTAssertGreaterThan(results[0][1], 0.98, "the MLP probe")
            accuracies.append(results[0][1])
        }
        XCTAssertEqual(accuracies[1], accuracies[0], accuracy: 0.01)
        XCTAssertEqual(accuracies[2], accuracies[0], accuracy: 0.01)
    }

    func testProgressTellsTheSameLossAtEveryWorldSize() throws {
        func losses(worldSize: Int) throws -> [Double] {
            let lines = try onRanks(worldSize) { ranks, device in
                let blobs = twoBlobs(distance: 2)
                let train = try makeFeatures(rows: 101, classes: 2, ranks: ranks, device: device, sample: blobs)
                var probe = MultilayerProbe()
                probe.hiddenUnits = 16
                probe.batch = 10
                probe.epochs = 2
                probe.leastSteps = 0
                probe.rate = 1e-2
                var lines: [String] = []
                _ = try probe(train: train, test: train, seed: 1, ranks: ranks, device: device) { lines.append($0) }
                return lines
            }
            return lines[worldSize - 1].compactMap { $0.split(separator: " ").last.flatMap { Double($0) } }
        }
        let expected = try losses(worldSize: 1)
        XCTAssertEqual(expected.count, 2)
        XCTAssertLessThan(expected[1], expected[0])
        for worldSize in 2...3 {
            let found = try losses(worldSize: worldSize)
            XCTAssertEqual(found.count, 2)
            for (a, b) in zip(found, expected) { XCTAssertEqual(a, b, accuracy: 1e-4, "\(worldSize) ranks") }
        }
    }
}
