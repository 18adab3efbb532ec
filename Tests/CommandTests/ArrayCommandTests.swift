import Foundation
import XCTest

/// `.npy` arrays as people have them, from `train` to the table of `eval`.
final class ArrayCommandTests: CommandTestCase {
    private static let small = [
        "--set", "encoder.kind=fullyConnected", "--set", "encoder.fullyConnected=[8]", "--set", "encoder.code=4",
    ]

    /// Numbers without order in -1...1.
    private static func scattered(_ i: Int) -> Double { sin(Double(i * i % 7919) * 1.7) }

    /// Vectors of three classes, in the folder `data`: 60 to train on and 30 to test on.
    private func writeVectors(offset: Double = 0) throws {
        for (split, count) in [("train", 60), ("test", 30)] {
            let values = (0..<count * 3).map { index in
                offset + 0.1 * Self.scattered(index) + (index / 3 % 3 == index % 3 ? 4 : 0)
            }
            try writeArray("data/\(split).npy", "<f8", [count, 3], values)
        }
    }

    private func writeLabels<Value: BitwiseCopyable>(
        _ descriptor: String, _ shape: [Int] = [], _ label: (Int) -> Value
    ) throws {
        for (split, count) in [("train", 60), ("test", 30)] {
            try writeArray("data/\(split)_labels.npy", descriptor, [count] + shape, (0..<count).map(label))
        }
    }

    /// The table's value for raw pixels by `knn`, and the lines below the table.
    private func evaluate(_ ranks: Int) throws -> (accuracy: String, notes: [String]) {
        let ending = try run(["eval", "--run", path("run"), "--probe", "knn"] + Self.threads(ranks))
        XCTAssertEqual(ending.status, 0, ending.errors)
        let lines = ending.output.split(separator: "\n").map(String.init)
        let row = try XCTUnwrap(lines.first { $0.hasPrefix("raw pixels ") })
        return (row.dropFirst("raw pixels ".count).trimmingCharacters(in: .whitespaces), Array(lines.dropFirst(5)))
    }

    /// float32 would make the same number of all values.
    func testLearnsFromDoublesAroundALargeNumber() throws {
        try writeVectors(offset: 1.7e9)
        try writeLabels("<i8") { $0 % 3 }
        try succeed(trainArguments("run", steps: 2, Self.small + Self.threads(2)))
        for ranks in [1, 3] { XCTAssertEqual(try evaluate(ranks).accuracy, "100.00") }
    }

    /// Classes keep the data's numbers in files, and cost what their count does.
    func testLabelsMayHaveGapsAndBeMissing() throws {
        try writeVectors()
        try writeLabels("<f8", [1]) { $0 % 5 == 4 ? -1 : Double($0 % 3) * 1e9 }
        try succeed(trainArguments("run", steps: 1, Self.small))
        for ranks in [1, 3] {
            let (accuracy, notes) = try evaluate(ranks)
            XCTAssertEqual(accuracy, "100.00")
            let line = "12 training and 6 test images have no label (-1); accuracies leave them out"
            XCTAssertTrue(notes.contains(line), "\(notes)")
        }
        try succeed(["embed", "--run", path("run"), "--output", path("x.npz")] + Self.threads(2))
        XCTAssertEqual(
            try numbers(arrays(of: path("x.npz"))["labels"], as: Int32.self),
            (0..<60).map { $0 % 5 == 4 ? -1 : $0 % 3 * 1_000_000_000 })
        try writeLabels("<i8") { _ in -1 }
        try assertRefused(
            ["eval", "--run", path("run")] + Self.threads(2), ["no labels: all training labels are -1", "linear"])
    }

    func testAnAccuracyThatTellsNothingIsNoted() throws {
        try writeVectors()
        try writeLabels("|b1") { _ in UInt8(1) }
        try succeed(trainArguments("run", steps: 1, Self.small))
        let (accuracy, notes) = try evaluate(2)
        XCTAssertEqual(accuracy, "100.00 [1]")
        XCTAssertTrue(
            notes.contains { $0.hasPrefix("[1] all 60 training images with a label are of 1 class") }, "\(notes)")
        let line = try XCTUnwrap(try metrics("run").last { $0["eval"] != nil })
        XCTAssertEqual((line["notes"] as? [String])?.count, 1)
    }

    /// Only who asks for labels meets their faults.
    func testLabelsAreReadWhereTheyAreWanted() throws {
        try writeVectors()
        try writeLabels("<f8") { Double($0) + 0.5 }
        try succeed(trainArguments("run", steps: 1, Self.small))
        try succeed(["embed", "--run", path("run"), "--output", path("x.npy")])
        let refusal = ["train_labels.npy: has label 0.5 at row 0"]
        try assertRefused(["embed", "--run", path("run"), "--output", path("x.npz")], refusal)
        try assertRefused(["eval", "--run", path("run"), "--probe", "ndm,knn"], refusal)
    }

    func testConstantColumnsAreNamed() throws {
        let values = (0..<60 * 3).map { $0 % 3 == 1 ? 0.25 : Self.scattered($0) }
        try writeArray("data.npy", "<f8", [60, 3], values)
        for ranks in [1, 3] {
            let ending = try run(
                trainArguments("run\(ranks)", steps: 1, Self.small + Self.threads(ranks), data: "data.npy"))
            XCTAssertEqual(ending.status, 0, ending.errors)
            XCTAssertEqual(
                ending.errorLines,
                [
                    "dim-dist: \(path("data.npy")): column 1 (of 0 to 2) is constant and carries no "
                        + "information"
                ]
            )
        }
        try writeArray("data.npy", "<f4", [60, 3], [Float](repeating: 1.7e9, count: 180))
        let ending = try run(trainArguments("run", steps: 1, Self.small, data: "data.npy"))
        XCTAssertEqual(ending.status, 0, ending.errors)
        XCTAssertEqual(
            ending.errorLines,
            ["dim-dist: \(path("data.npy")): every column is constant, so there is nothing to learn"])
    }

    func testChannelsFirstAreToldOrRefused() throws {
        let pixels = (0..<48 * 3 * 24 * 32).map { UInt8(truncatingIfNeeded: $0 * $0 % 7919) }
        try writeArray("data.npy", "|u1", [48, 3, 24, 32], pixels)
        try assertRefused(
            trainArguments("run", steps: 1, data: "data.npy"), ["[48, 3, 24, 32]", "--set data.layout=channelsFirst"])
        let layout = ["--set", "data.layout=channelsFirst"]
        let output = try succeed(trainArguments("run", steps: 1, layout, data: "data.npy"))
        XCTAssertTrue(output.contains("48 images of 24x32x3"), output)
        // The same with channels last, by another run and by the first one's model.
        var last: [UInt8] = []
        for image in 0..<48 {
            for pixel in 0..<24 * 32 {
                for channel in 0..<3 { last.append(pixels[(image * 3 + channel) * 768 + pixel]) }
            }
        }
        try writeArray("last.npy", "|u1", [48, 24, 32, 3], last)
        try succeed(trainArguments("last", steps: 1, data: "last.npy"))
        XCTAssertEqual(try losses("run"), try losses("last"))
        for run in ["run", "last"] { try succeed(["embed", "--run", path(run), "--output", path("\(run)-codes.npy")]) }
        XCTAssertEqual(
            try Data(contentsOf: URL(fileURLWithPath: path("run-codes.npy"))),
            try Data(contentsOf: URL(fileURLWithPath: path("last-codes.npy"))))
    }

    /// Neighbours of 2^63 are one number as doubles.
    func testSeedsOfSixtyFourBits() throws {
        try writeVectors()
        var models: Set<Data> = []
        let seeds = ["9223372036854775807", "9223372036854775808", "9223372036854775809", "18446744073709551615"]
        for seed in seeds {
            try succeed(trainArguments(seed, steps: 0, Self.small + ["--seed", seed]))
            let settings = try String(contentsOfFile: path("\(seed)/config.json"), encoding: .utf8)
            XCTAssertTrue(settings.contains("\"seed\" : \(seed)"), settings)
            let file = path("\(seed)/checkpoints/step-00000000/model.safetensors")
            models.insert(try Data(contentsOf: URL(fileURLWithPath: file)))
        }
        XCTAssertEqual(models.count, seeds.count)
        try succeed(trainArguments(seeds[2], steps: 1, Self.small + ["--resume"]))  // the seed that was kept
    }
}
