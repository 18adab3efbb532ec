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
                (probe.rates, probe.decays) = ([1e-2], [0])
                probe.epochs = 15
                probe.leastSteps = 0
                probe.heldOutFraction = 0
                let linear = try score(.linear, train: train, test: test, seed: 1, ranks: ranks, device: device).value
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

    func testHeldOutRowsSayWhenToStop() throws {
        // 100 rows in 60 dimensions of noise are soon learnt by heart; held-out rows stay at chance.
        for worldSize in 1...2 {
            let lines = try onRanks(worldSize) { ranks, device in
                func sample(_ row: Int) -> (values: [Float], label: Int) {
                    var stream = RandomStream(row: row)
                    return ((0..<60).map { _ in stream.normal() }, stream.index(below: 2))
                }
                let train = try makeFeatures(rows: 100, classes: 2, ranks: ranks, device: device, sample: sample)
                var probe = MultilayerProbe()
                probe.hiddenUnits = 16
                probe.batch = 10
                probe.epochs = 100
                probe.patience = 5
                probe.leastSteps = 0
                probe.heldOutFraction = 0.3
                (probe.rates, probe.decays) = ([1e-2], [0])
                var lines: [String] = []
                _ = try probe(train: train, test: train, seed: 1, ranks: ranks, device: device) {
                    lines.append($0)
                }
                let last = lines.last?.split(separator: ",").first.map(String.init)
                return (ranks.rank, lines.filter { $0.contains("held-out") }, last)
            }
            XCTAssertEqual(lines[0].1, lines[worldSize - 1].1)
            let correct = lines[0].1.compactMap { line in
                line.split(separator: ", ").last.flatMap { Int($0.split(separator: " ")[0]) }
            }
            XCTAssertLessThan(correct.count, 100)
            let best = try XCTUnwrap(correct.max().flatMap { correct.firstIndex(of: $0) })
            XCTAssertEqual(correct.count, best + 1 + 5, "stops after five epochs that weren't better")
            // Then all rows are trained on, for as many epochs.
            XCTAssertEqual(lines[0].2, "MLP probe: step \((best + 1) * 10) of \((best + 1) * 10)")
        }
    }

    func testBothTrainingsTakeTheLeastSteps() throws {
        let lines = try onRanks(1) { ranks, device in
            let train = try makeFeatures(
                rows: 100, classes: 2, ranks: ranks, device: device, sample: twoBlobs(distance: 20))
            var probe = MultilayerProbe()
            (probe.rates, probe.decays, probe.hiddenUnits) = ([1e-4], [0], 8)
            probe.batch = 30
            probe.epochs = 5
            probe.patience = 1
            probe.leastSteps = 40  // three batches an epoch: 14 epochs
            var lines: [String] = []
            _ = try probe(train: train, test: train, seed: 1, ranks: ranks, device: device) { lines.append($0) }
            return lines
        }[0]
        XCTAssertTrue(lines.last?.hasPrefix("MLP probe: step 42 of 42,") ?? false, "\(lines)")
        XCTAssertTrue(lines.contains { $0.hasPrefix("MLP probe: rate 0.0001, decay 0.0, epoch 14,") }, "\(lines)")
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
                probe.heldOutFraction = 0
                (probe.rates, probe.decays) = ([1e-2], [0])
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

    func testASmallSetIsPassedOverUntilItIsLearned() throws {
        // Three classes that lines part, 120 rows: two batches an epoch, of which 110 epochs would be too few.
        let accuracy = try onRanks(1) { ranks, device in
            func sample(_ row: Int) -> (values: [Float], label: Int) {
                var stream = RandomStream(row: row)
                return ((0..<64).map { $0 % 3 == row % 3 ? 1 + stream.normal() : stream.normal() }, row % 3)
            }
            let train = try makeFeatures(rows: 120, classes: 3, ranks: ranks, device: device, sample: sample)
            let test = try makeFeatures(rows: 60, classes: 3, ranks: ranks, device: device) { sample($0 + 120) }
            return try MultilayerProbe()(train: train, test: test, seed: 1, ranks: ranks, device: device)
        }[0]
        XCTAssertGreaterThan(accuracy, 0.98)
    }
}
