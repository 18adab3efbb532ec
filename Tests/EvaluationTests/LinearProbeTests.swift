import Tensors
import XCTest

@testable import Evaluation

final class LinearProbeTests: XCTestCase {
    func testReachesTheBayesRateAtEveryWorldSize() throws {
        var accuracies: [Double] = []
        for worldSize in 1...3 {
            let results = try onRanks(worldSize) { ranks, device in
                let blobs = twoBlobs(distance: 2)
                let train = try makeFeatures(rows: 1500, classes: 2, ranks: ranks, device: device, sample: blobs)
                let test = try makeFeatures(rows: 3000, classes: 2, ranks: ranks, device: device) { blobs($0 + 1500) }
                return try LinearProbe()(train: train, test: test, seed: 1, ranks: ranks, device: device)
            }
            XCTAssertEqual(Set(results.map(\.accuracy)).count, 1, "world size \(worldSize)")
            XCTAssertEqual(Set(results.map(\.penalty)).count, 1, "world size \(worldSize)")
            accuracies.append(results[0].accuracy)
        }
        XCTAssertEqual(accuracies[0], 0.8413, accuracy: 0.02)  // Φ(1); one deviation of the count is 0.0067
        XCTAssertEqual(accuracies[1], accuracies[0], accuracy: 0.005)
        XCTAssertEqual(accuracies[2], accuracies[0], accuracy: 0.005)
    }

    func testSupportVectorsReachTheBayesRateAtEveryWorldSize() throws {
        var accuracies: [Double] = []
        for worldSize in 1...3 {
            let results = try onRanks(worldSize) { ranks, device in
                let blobs = twoBlobs(distance: 2)
                let train = try makeFeatures(rows: 1500, classes: 2, ranks: ranks, device: device, sample: blobs)
                let test = try makeFeatures(rows: 3000, classes: 2, ranks: ranks, device: device) { blobs($0 + 1500) }
                return try score(.svm, train: train, test: test, seed: 1, ranks: ranks, device: device).value
            }
            XCTAssertEqual(Set(results).count, 1, "world size \(worldSize)")
            accuracies.append(results[0])
        }
        XCTAssertEqual(accuracies[0], 0.8413, accuracy: 0.02)  // Φ(1); one deviation of the count is 0.0067
        XCTAssertEqual(accuracies[1], accuracies[0], accuracy: 0.005)
        XCTAssertEqual(accuracies[2], accuracies[0], accuracy: 0.005)
    }

    /// Notes say what a value doesn't show.
    func testNotesSayWhatWasLimited() throws {
        let results = try onRanks(2) { ranks, device in
            let blobs = twoBlobs(distance: 2)
            func features(_ rows: Int) throws -> Features {
                try makeFeatures(rows: rows, classes: 2, ranks: ranks, device: device, sample: blobs)
            }
            let (one, many) = (try features(1), try features(200))
            var probe = LinearProbe()
            let whole = try probe(train: many, test: many, seed: 1, ranks: ranks, device: device).notes
            (probe.minimiser.iterations, probe.minimiser.smallestDecrease, probe.minimiser.tolerance) = (1, 0, 1e-12)
            let cut = try probe(train: many, test: many, seed: 1, ranks: ranks, device: device).notes
            let few = try [Probe.linear, .svm, .mlp, .mlpPublished, .knn].map {
                try score($0, train: one, test: many, seed: 1, ranks: ranks, device: device).notes
            }
            return [whole, cut] + few
        }
        for notes in results {
            XCTAssertEqual(notes[0], [])
            XCTAssertEqual(notes[1], ["the last fit was stopped after 1 steps, before it converged"])
            for notes in notes[2...3] {
                XCTAssertTrue(notes.contains { $0.hasPrefix("no class has two training rows") }, "\(notes)")
            }
            for notes in notes[4...5] {
                XCTAssert(notes.contains { $0.hasPrefix("1 training row: too few to hold some out") }, "\(notes)")
            }
            XCTAssertEqual(notes[6], ["there are fewer than 20 training rows, so all 1 vote"])
        }
        XCTAssertEqual(InputInformation().notes(trainingImages: 20_000), [])
        XCTAssertEqual(InputInformation().notes(trainingImages: 20_001).count, 1)
    }

    func testRandomLabelsGiveChance() throws {
        let results = try onRanks(2) { ranks, device in
            func sample(_ row: Int) -> (values: [Float], label: Int) {
                var stream = RandomStream(row: row)
                return ((0..<5).map { _ in stream.normal() }, stream.index(below: 4))
            }
            let train = try makeFeatures(rows: 1000, classes: 4, ranks: ranks, device: device, sample: sample)
            let test = try makeFeatures(rows: 2000, classes: 4, ranks: ranks, device: device) { sample($0 + 1000) }
            return try score(.linear, train: train, test: test, seed: 1, ranks: ranks, device: device).value
        }
        XCTAssertEqual(results[0], 0.25, accuracy: 0.04)  // four deviations of the count
    }

    func testChoosesAHeavyPenaltyWhereThereIsMuchToOverfit() throws {
        // 120 rows in 100 dimensions of noise and 1 with information: without a penalty the noise is fitted.
        let results = try onRanks(2) { ranks, device in
            func sample(_ row: Int) -> (values: [Float], label: Int) {
                var stream = RandomStream(row: row)
                let label = stream.index(below: 2)
                return ([(Float(label) - 0.5) * 2 + stream.normal()] + (0..<100).map { _ in stream.normal() }, label)
            }
            let train = try makeFeatures(rows: 240, classes: 2, ranks: ranks, device: device, sample: sample)
            let test = try makeFeatures(rows: 1000, classes: 2, ranks: ranks, device: device) { sample($0 + 240) }
            var probe = LinearProbe()
            let chosen = try probe(train: train, test: test, seed: 1, ranks: ranks, device: device)
            probe.penalties = [1e-6]
            let light = try probe(train: train, test: test, seed: 1, ranks: ranks, device: device)
            return (chosen.penalty, chosen.accuracy, light.accuracy)
        }
        XCTAssertGreaterThan(results[0].0, 5e-3)
        XCTAssertGreaterThan(results[0].1, results[0].2)
    }

    func testChoosesALightPenaltyWhereAHeavyOneHidesTheClasses() throws {
        // A quarter of the rows are of class 1; with W forced to 0 the bias alone says class 0.
        let results = try onRanks(2) { ranks, device in
            func sample(_ row: Int) -> (values: [Float], label: Int) {
                var stream = RandomStream(row: row)
                let label = stream.index(below: 4) == 0 ? 1 : 0
                return ([Float(label) * 6 + stream.normal()], label)
            }
            let train = try makeFeatures(rows: 400, classes: 2, ranks: ranks, device: device, sample: sample)
            let test = try makeFeatures(rows: 400, classes: 2, ranks: ranks, device: device) { sample($0 + 400) }
            var probe = LinearProbe()
            probe.penalties = [1e3, 1e-3]
            let chosen = try probe(train: train, test: test, seed: 1, ranks: ranks, device: device)
            probe.penalties = [1e3]
            return (chosen, try probe(train: train, test: test, seed: 1, ranks: ranks, device: device).accuracy)
        }
        XCTAssertEqual(results[0].0.penalty, 1e-3)
        XCTAssertGreaterThan(results[0].0.accuracy, 0.98)  // Φ(3) = 0.9987 with the boundary half way
        XCTAssertEqual(results[0].1, 0.75, accuracy: 0.06)
    }

    func testHeldOutRowsAreTheSameAtEveryWorldSize() throws {
        for worldSize in 1...3 {
            let results = try onRanks(worldSize) { ranks, device in
                let blobs = twoBlobs(distance: 2)
                let train = try makeFeatures(rows: 1000, classes: 2, ranks: ranks, device: device, sample: blobs)
                var lines: [String] = []
                _ = try LinearProbe()(train: train, test: train, seed: 1, ranks: ranks, device: device) {
                    lines.append($0)
                }
                return lines
            }
            let expected = (0..<1000).filter { row in
                var stream = RandomStream(seed: 1, purpose: .validationSplit, sample: row)
                return stream.uniform() < 0.1
            }.count
            for lines in results {
                XCTAssertGreaterThanOrEqual(lines.count, 3)
                for line in lines { XCTAssertTrue(line.contains(" of \(expected) held-out rows"), line) }
            }
        }
    }

    /// Of few rows, each is held out once.
    func testFewRowsAreCrossValidated() throws {
        let results = try onRanks(2) { ranks, device in
            let blobs = twoBlobs(distance: 2)
            let train = try makeFeatures(rows: 999, classes: 2, ranks: ranks, device: device, sample: blobs)
            var lines: [String] = []
            _ = try LinearProbe()(train: train, test: train, seed: 1, ranks: ranks, device: device) {
                lines.append($0)
            }
            return lines
        }
        for lines in results {
            XCTAssertGreaterThanOrEqual(lines.count, 3)
            for line in lines { XCTAssertTrue(line.contains(" of 999 held-out rows"), line) }
        }
    }

    func testARankMayHoldNoRows() throws {
        for (trainCounts, testCounts) in [([20, 0, 20], [0, 30, 0]), ([0, 0, 40], [10, 10, 10])] {
            for probe in Probe.allCases where probe.measure == .accuracy {
                let results = try onRanks(3) { ranks, device in
                    let blobs = twoBlobs(distance: 12)
                    let train = try makeFeatures(
                        rows: 40, classes: 2, ranks: ranks, device: device, counts: trainCounts, sample: blobs)
                    let test = try makeFeatures(
                        rows: 30, classes: 2, ranks: ranks, device: device, counts: testCounts
                    ) { blobs($0 + 40) }
                    guard probe == .mlp else {
                        return try score(probe, train: train, test: test, seed: 1, ranks: ranks, device: device).value
                    }
                    var small = MultilayerProbe()
                    small.hiddenUnits = 16
                    small.leastSteps = 200
                    small.heldOutFraction = 0
                    (small.rates, small.decays) = ([1e-2], [0])
                    return try small(train: train, test: test, seed: 1, ranks: ranks, device: device)
                }
                XCTAssertEqual(results, [1, 1, 1], "\(probe)")
            }
        }
    }
}
