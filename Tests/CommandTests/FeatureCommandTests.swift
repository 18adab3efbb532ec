import Datasets
import Foundation
import XCTest

/// `embed` and `eval`, on a model of one step.
final class FeatureCommandTests: CommandTestCase {
    override func setUpWithError() throws {
        try super.setUpWithError()
        try writeData()
        try succeed(trainArguments("run", steps: 1))
    }

    private func embed(_ file: String, _ more: [String] = []) throws -> [[Float]] {
        try succeed(["embed", "--run", path("run"), "--output", path(file)] + more)
        let array = try NumPyArray(path: path(file))
        XCTAssertEqual(array.element, .float32)
        XCTAssertEqual(array.shape.count, 2)
        let values = try array.read(rows: 0..<array.rows)
        XCTAssertTrue(values.allSatisfy(\.isFinite))
        return (0..<array.rows).map { Array(values[$0 * array.rowSize..<($0 + 1) * array.rowSize]) }
    }

    /// The largest |a - b| over all elements.
    private func distance(_ a: [[Float]], _ b: [[Float]]) -> Float {
        guard a.map(\.count) == b.map(\.count) else { return .infinity }
        return zip(a.joined(), b.joined()).reduce(0) { max($0, abs($1.0 - $1.1)) }
    }

    /// But for rounding: a processor's kernel for 32 images may not be that for 96.
    func testEmbedWritesTheSameRowsAtAnyNumberOfRanks() throws {
        let rows = try embed("1.npy")
        XCTAssertEqual(rows.count, 96)
        XCTAssertEqual(rows.map(\.count), Array(repeating: 64, count: 96))
        XCTAssertEqual(Set(rows).count, 96)
        for ranks in [2, 3] {
            XCTAssertLessThan(distance(try embed("\(ranks).npy", Self.threads(ranks)), rows), 1e-5, "\(ranks) ranks")
        }
    }

    func testRowsAreInTheOrderOfTheData() throws {
        let images = TestImages(count: 96, seed: 1)
        try images.rotated(by: 37).write(to: path("rotated"), split: "train")
        let rows = try embed("rows.npy")
        let rotated = try embed("rotated.npy", ["--data", path("rotated")] + Self.threads(3))
        let expected = Array(rows[37...] + rows[..<37])
        XCTAssertLessThan(distance(rotated, expected), 1e-5)
        XCTAssertGreaterThan(distance(rotated, rows), 1e-2)  // otherwise the order could not be seen

        var single = images
        single.labels = [images.labels[50]]
        single.pixels = [images.pixels[50]]
        try single.imagesFile.write(to: URL(fileURLWithPath: path("single")))
        let row = try embed("single.npy", ["--data", path("single")] + Self.threads(3))  // two ranks hold nothing
        XCTAssertLessThan(distance(row, [rows[50]]), 1e-5)
    }

    func testLayersAreJoinedAndNamed() throws {
        let parts = try ["fc", "code"].map { try embed("\($0).npy", ["--layer", $0]) }
        XCTAssertEqual(try embed("both.npy", ["--layer", "fc+code"]), zip(parts[0], parts[1]).map(+))
        for (layers, texts) in [
            ("last", ["--layer is last", "code, fc, conv, local"]), ("fc+", ["--layer is fc+"]),
            ("fc+fc", ["a layer is named twice"]), ("fc,fc", ["fc is given twice"]),
        ] {
            try assertRefused(["embed", "--run", path("run"), "--layer", layers, "--output", path("x.npy")], texts)
            try assertRefused(["eval", "--run", path("run"), "--layer", layers], texts)
        }
    }

    func testAnArchiveHasLabelsAndNumbersBesideTheFeatures() throws {
        let rows = try embed("one.npy", ["--split", "test"])
        for ranks in [1, 3] {
            let file = path("\(ranks).npz")
            try succeed(
                ["embed", "--run", path("run"), "--split", "test", "--output", file] + Self.threads(ranks))
            let arrays = try self.arrays(of: file)
            XCTAssertEqual(arrays.keys.sorted(), ["features", "ids", "labels"])
            XCTAssertEqual(try numbers(arrays["ids"], as: Int64.self), Array(0..<40))
            let labels = try Data(contentsOf: URL(fileURLWithPath: path("data/t10k-labels-idx1-ubyte"))).dropFirst(8)
            XCTAssertEqual(try numbers(arrays["labels"], as: Int32.self), labels.map(Int.init))
            XCTAssertEqual(arrays["features"]?.count, rows.count * rows[0].count * 4)
        }
        try succeed(["embed", "--run", path("run"), "--layer", "code,fc+code", "--output", path("two.npz")])
        XCTAssertEqual(try arrays(of: path("two.npz")).keys.sorted(), ["code", "fc+code", "ids", "labels"])
        XCTAssertEqual(
            try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.contains("writing") }, [])
        for (file, layers, text) in [
            ("x.csv", "code", "must end in .npy"), ("x", "code", "must end in .npy"),
            ("x.npy", "code,fc", "a .npy file holds one array"),
        ] {
            try assertRefused(
                ["embed", "--run", path("run"), "--layer", layers, "--output", path(file)], [text])
        }
    }

    func testDataAreNotReplacedByTheirFeatures() throws {
        let pixels = try Data(contentsOf: URL(fileURLWithPath: path("data/train-images-idx3-ubyte")))
        try TestImages(count: 8, seed: 3).imagesFile.write(to: URL(fileURLWithPath: path("data/own.npy")))
        for output in ["data/own.npy", "data/../data/own.npy"] {
            try assertRefused(
                ["embed", "--run", path("run"), "--output", path(output)],
                ["own.npy, which is a file of the data", "would be replaced"])
        }
        try FileManager.default.createSymbolicLink(
            atPath: path("link.npy"), withDestinationPath: path("data/train-images-idx3-ubyte"))
        try assertRefused(
            [
                "embed", "--run", path("run"), "--data", path("data/train-images-idx3-ubyte"), "--output",
                path("link.npy"),
            ],
            ["link.npy, which is a file of the data"])
        XCTAssertEqual(try Data(contentsOf: URL(fileURLWithPath: path("data/train-images-idx3-ubyte"))), pixels)
    }

    func testOtherLayersAndSplits() throws {
        XCTAssertEqual(
            try embed("fc.npy", ["--layer", "fc", "--split", "test"]).map(\.count), Array(repeating: 1024, count: 40))
        let local = try embed("local.npy", ["--layer", "local", "--split", "test"] + Self.threads(2))
        XCTAssertEqual(local.map(\.count), Array(repeating: 7 * 7 * 128, count: 40))
        XCTAssertTrue(local.joined().allSatisfy { $0 >= 0 })  // after a rectifier
        XCTAssertEqual(try embed("conv.npy", ["--layer", "conv", "--split", "test"]), local)  // basic28x28: its last
    }

    func testEmbedRefusesAnOutputThatIsNoFile() throws {
        try FileManager.default.createDirectory(atPath: path("folder"), withIntermediateDirectories: true)
        for ranks in [[], Self.threads(2)] {
            let embed = ["embed", "--run", path("run"), "--output"]
            try assertRefused(embed + [path("folder")] + ranks, ["\(path("folder")): is not a regular file"])
            try assertRefused(embed + ["/dev/null"] + ranks, ["/dev/null: is not a regular file"])
            try assertRefused(embed + [""] + ranks, ["--output needs a value"])
        }
        XCTAssertFalse(FileManager.default.fileExists(atPath: path("folder.writing")))
    }

    func testEmbedRefusesWhatDoesNotFit() throws {
        let file = "\(path("data"))/train-images-idx3-ubyte"
        try assertRefused(
            ["embed", "--run", path("run"), "--output", path("x.npy"), "--data", file, "--split", "test"],
            ["is one file", "give the folder of both"])
        XCTAssertFalse(FileManager.default.fileExists(atPath: path("x.npy")))
        let embed = ["embed", "--run", path("run"), "--output", path("x.npy")]
        var large = Data([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 32, 0, 0, 0, 32])
        large.append(Data(count: 32 * 32))
        try large.write(to: URL(fileURLWithPath: path("large")))
        for ranks in [[], Self.threads(2)] {
            try assertRefused(embed + ["--data", path("large")] + ranks, ["32x32", "28x28"])
            try assertRefused(
                ["embed", "--run", path("run"), "--output", path("none/x.npy")] + ranks, [path("none/x.npy")])
        }
        try FileManager.default.removeItem(atPath: path("run/checkpoints"))
        try assertRefused(embed, [path("run"), "no checkpoint"])
    }

    func testEvalTellsTheModelFromItsControls() throws {
        let later = "{\"step\":7,\"loss\":1}\n"  // of a run that trains on meanwhile
        let file = try FileHandle(forUpdating: URL(fileURLWithPath: path("run/metrics.jsonl")))
        try file.seekToEnd()
        try file.write(contentsOf: Data(later.utf8))
        try file.close()

        var tables: [[String: [Double]]] = []
        for ranks in [1, 3] {
            let ending = try run(["eval", "--run", path("run")] + Self.threads(ranks))
            XCTAssertEqual(ending.status, 0, ending.errors)
            var lines = ending.output.split(separator: "\n").map(String.init)
            let header = try XCTUnwrap(lines.isEmpty ? nil : lines.removeFirst())
            XCTAssertEqual(header.split(separator: " ").suffix(4), ["linear", "%", "knn", "%"], header)
            var table: [String: [Double]] = [:]
            XCTAssertEqual(lines.suffix(2).last?.hasSuffix("96 training and 40 test images"), true, ending.output)
            for line in lines.dropLast() where !line.isEmpty {
                let words = line.split(separator: " ").map(String.init)
                table[words.dropLast(2).joined(separator: " ")] = words.suffix(2).compactMap(Double.init)
            }
            XCTAssertEqual(Set(table.keys), ["trained code", "untrained code", "raw pixels", "PCA-64"])
            XCTAssertEqual(
                try String(contentsOfFile: path("run/evaluation.txt"), encoding: .utf8), ending.output)
            tables.append(table)
        }
        for (name, values) in tables[0] {
            for (a, b) in zip(values, try XCTUnwrap(tables[1][name])) {
                XCTAssertTrue((0...100).contains(a))
                XCTAssertEqual(a, b, accuracy: 2.6, "\(name)")  // one of 40 test images
            }
        }
        // Four levels of grey are far apart, so a linear classifier of all pixels separates them.
        XCTAssertGreaterThan(tables[0]["raw pixels"]?[0] ?? 0, 90)

        let lines = try metrics("run")
        XCTAssertEqual(lines.prefix(2).map { $0["step"] as? Int }, [1, 7])
        let evaluations = lines.filter { $0["eval"] != nil }
        XCTAssertEqual(evaluations.count, 16)
        for (index, name) in ["trained code", "untrained code", "raw pixels", "PCA-64"].enumerated() {
            for (column, probe) in ["linear", "knn"].enumerated() {
                let line = evaluations[2 * index + column]
                XCTAssertEqual(line["eval"] as? String, "\(probe)/\(name)")
                XCTAssertEqual(line["step"] as? Int, 1)
                XCTAssertEqual(
                    100 * (line["value"] as? Double ?? -1), try XCTUnwrap(tables[0][name])[column], accuracy: 0.006)
            }
        }
    }

    func testEvalTakesLayersAndProbes() throws {
        let ending = try run([
            "eval", "--run", path("run"), "--layer", "code,fc+code", "--probe", "knn", "--without-controls",
        ])
        XCTAssertEqual(ending.status, 0, ending.errors)
        let rows = ending.output.split(separator: "\n").map {
            $0.split(separator: " ").dropLast().joined(separator: " ")
        }
        XCTAssertEqual(rows.dropFirst().prefix(2), ["trained code", "trained fc+code"])
    }

    func testEvalRepeatsWithSeeds() throws {
        let ending = try run(
            ["eval", "--run", path("run"), "--probe", "knn,reconstruction", "--seeds", "2", "--decoder-steps", "1"])
        XCTAssertEqual(ending.status, 0, ending.errors)
        XCTAssertTrue(ending.output.contains("MS-SSIM over 2 of 5 scales"), ending.output)
        XCTAssertTrue(ending.output.contains("over 2 seeds"), ending.output)
        var seeds: [String: Int] = [:]
        for line in try metrics("run") {
            guard let name = line["eval"] as? String else { continue }
            seeds[name] = line["seeds"] as? Int
            XCTAssertEqual(line["deviation"] != nil, seeds[name] == 2, name)
            XCTAssertTrue((0...1).contains(try XCTUnwrap(line["value"] as? Double)), name)
        }
        // Neighbours of given features are what they are; there are two untrained encoders.
        XCTAssertEqual(
            seeds,
            [
                "knn/trained code": 1, "knn/untrained code": 2, "knn/raw pixels": 1, "knn/PCA-64": 1,
                "reconstruction/trained code": 2, "reconstruction/untrained code": 2, "reconstruction/raw pixels": 2,
                "reconstruction/PCA-64": 2, "reconstruction/PCA-64, inverse": 1, "reconstruction/mean image": 1,
            ])
    }

    func testEvalTakesFewLabels() throws {
        let eval = ["eval", "--run", path("run"), "--labels", "5,25%"]
        var values: [[String: Double]] = []
        for (ranks, more, count) in [(1, [], 24), (3, ["--without-controls"], 6)] {
            let earlier = try metrics("run").count
            let ending = try run(eval + more + Self.threads(ranks))
            XCTAssertEqual(ending.status, 0, ending.errors)
            let lines = ending.output.split(separator: "\n").map(String.init)
            XCTAssertEqual(
                lines[0].split(separator: " ").filter { $0 != "%" }.suffix(6),
                ["linear", "linear@5", "linear@25%", "knn", "knn@5", "knn@25%"])
            for note in [
                "@5: 20 training images keep their labels", "@25%: 25 training images keep their labels",
                "with @, mean ± standard deviation over 5 draws of these labels",
            ] { XCTAssertTrue(lines.contains(note), ending.output) }
            var found: [String: Double] = [:]
            for line in try metrics("run").dropFirst(earlier) {
                let name = try XCTUnwrap(line["eval"] as? String)
                found[name] = line["value"] as? Double
                XCTAssertEqual(line["seeds"] as? Int, name.contains("@") ? 5 : 1, name)
                XCTAssertEqual(line["deviation"] != nil, name.contains("@"), name)
            }
            XCTAssertEqual(found.count, count)
            values.append(found)
        }
        for (name, value) in values[1] {
            XCTAssertEqual(value, try XCTUnwrap(values[0][name]), accuracy: 0.026, name)  // one of 40 test images
        }
        XCTAssertNotNil(values[0]["knn@25%/raw pixels"])
        // Twenty labels are worth less than all 96.
        XCTAssertLessThan(values[0]["linear@5/PCA-64"] ?? 1, values[0]["linear/PCA-64"] ?? 0)

        let twice = try run(eval + ["--seeds", "2", "--probe", "knn", "--without-controls"])
        XCTAssertEqual(twice.status, 0, twice.errors)
        XCTAssertEqual(try metrics("run").suffix(3).map { $0["seeds"] as? Int }, [1, 2, 2])
    }

    func testLabelsThatCannotBeGivenAreRefused() throws {
        let classes = TestImages(count: 96, seed: 1).labels
        let largest = Dictionary(grouping: classes) { $0 }.values.map(\.count).max() ?? 0
        for (labels, texts) in [
            ("0", ["--labels is 0", "from 1 on"]), ("200%", ["--labels is 200%", "at most 100%"]),
            ("abc", ["--labels is abc"]), ("5,5", ["5 is given twice"]), ("5,", ["--labels is ", "number of labels"]),
            ("1000", ["--labels is 1000", "the largest has \(largest)", "at most \(largest)"]),
            ("0.1%", ["--labels is 0.1%", "less than one training image"]),
        ] {
            try assertRefused(["eval", "--run", path("run"), "--labels", labels] + Self.threads(2), texts)
        }
        try assertRefused(
            ["eval", "--run", path("run"), "--labels", "5", "--probe", "ndm"],
            ["--labels needs a probe", "linear, svm"])
    }

    func testAProbeThatFailsLeavesTheOthers() throws {
        // Known problems are reported before any probe runs.
        try assertRefused(
            ["eval", "--run", path("run"), "--probe", "knn,mine"],
            [
                "there are 96", "--probe mine",
                "100 training "
                    + "images",
            ])
        // Images that are all the same have no principal components.
        for (split, count) in [("train", 40), ("t10k", 20)] {
            var images = TestImages(count: count, seed: 1)
            images.pixels = images.pixels.map { $0.map { _ in 99 } }
            try images.write(to: path("same"), split: split)
        }
        let ending = try run(
            ["eval", "--run", path("run"), "--data", path("same"), "--probe", "knn"] + Self.threads(2))
        XCTAssertEqual(ending.status, 0, ending.errors)
        let lines = ending.output.split(separator: "\n").map(String.init)
        XCTAssertTrue(lines.contains { $0.hasPrefix("PCA-64 ") && $0.hasSuffix(" – [1]") }, ending.output)
        XCTAssertTrue(lines.contains { $0.hasPrefix("[1] every row is the same") }, ending.output)
        let scores = try metrics("run").filter { $0["eval"] != nil }
        XCTAssertEqual(scores.count, 4)
        XCTAssertTrue(scores.dropLast().allSatisfy { $0["value"] is Double && $0["notes"] == nil }, "\(scores)")
        XCTAssertTrue(scores.last?["value"] is NSNull, "\(scores)")
        XCTAssertEqual((scores.last?["notes"] as? [String])?.count, 1)
    }

    func testEvalNeedsLabels() throws {
        let unlabelled = path("unlabelled")
        try FileManager.default.createDirectory(atPath: unlabelled, withIntermediateDirectories: true)
        for split in ["train", "t10k"] {
            let file = URL(fileURLWithPath: "\(unlabelled)/\(split)-images-idx3-ubyte")
            try TestImages(count: 40, seed: 2).imagesFile.write(to: file)
        }
        for ranks in [[], Self.threads(2)] {
            try assertRefused(["eval", "--run", path("run"), "--data", unlabelled] + ranks, ["no labels", "linear"])
            // One file is all of its data: it would be judged on what it was trained on.
            try assertRefused(
                ["eval", "--run", path("run"), "--data", "\(path("data"))/train-images-idx3-ubyte"] + ranks,
                ["is one file", "give the folder of both"])
        }
    }
}
