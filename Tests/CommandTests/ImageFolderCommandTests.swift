import Foundation
import XCTest

/// Image files as data, from training to features.
final class ImageFolderCommandTests: CommandTestCase {
    /// 40 PNG files of 40x36 in two classes, as `train` and `val`, of which one is broken.
    private func writeFolders() throws {
        let fixture = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("DatasetsTests/Fixtures")
        let images = try ["rgb.png", "grey.jpg"].map { try Data(contentsOf: fixture.appendingPathComponent($0)) }
        for (split, count) in [("train", 30), ("val", 10)] {
            for i in 0..<count {
                let folder = "\(path("data"))/\(split)/\(i % 2 == 0 ? "colour" : "grey")"
                try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
                try images[i % 2].write(to: URL(fileURLWithPath: "\(folder)/\(100 + i).jpg"))
            }
        }
        try images[0].prefix(300).write(to: URL(fileURLWithPath: path("data/train/colour/108.jpg")))
    }

    func testABrokenImageIsNamedOrLeftOut() throws {
        try writeFolders()
        let size = ["--set", "data.imageSize=32", "--set", "data.virtualShards=8"]
        let broken = path("data/train/colour/108.jpg")
        for ranks in [[], Self.threads(3)] {
            try assertRefused(
                trainArguments("run", steps: 0, size + ranks), ["\(broken): broken PNG", "add --skip-broken"])
        }
        var losses: [[Double]] = []
        for ranks in [1, 3] {
            let ending = try run(
                trainArguments("run\(ranks)", steps: 2, size + ["--skip-broken"] + Self.threads(ranks)))
            XCTAssertEqual(ending.status, 0, ending.errors)
            XCTAssertTrue(ending.output.contains("29 images of 32x32x3"), ending.output)
            XCTAssertEqual(ending.errorLines.count, 2, ending.errors)
            XCTAssertTrue(ending.errors.contains("left out 1 of 30 images, listed in"), ending.errors)
            XCTAssertTrue(ending.errors.contains("left out \(broken): broken PNG"), ending.errors)
            let list = try String(contentsOfFile: path("run\(ranks)/skipped.txt"), encoding: .utf8)
            XCTAssertTrue(list.hasPrefix("\(broken): broken PNG"), list)
            XCTAssertEqual(list.split(separator: "\n").count, 1)
            losses.append(try self.losses("run\(ranks)"))
        }
        XCTAssertEqual(losses.map(\.count), [2, 2])
        // Of two pictures only, many gradients are all but 0, and Adam's first step takes their rounding for a
        // direction.
        for (step, tolerance) in [2e-5, 1e-3].enumerated() {
            let (alone, split) = (losses[0][step], losses[1][step])
            XCTAssertEqual(alone, split, accuracy: tolerance * alone, "step \(step + 1)")
        }

        // The run's settings hold for its features: the same size, the same files left out.
        let evaluation = try run(["eval", "--run", path("run1"), "--probe", "knn", "--without-controls"])
        XCTAssertEqual(evaluation.status, 0, evaluation.errors)
        XCTAssertTrue(evaluation.output.contains("29 training and 10 test images"), evaluation.output)
        XCTAssertTrue(FileManager.default.fileExists(atPath: path("run1/evaluation-skipped.txt")))
        let embedding = try run(["embed", "--run", path("run1"), "--output", path("x.npy")] + Self.threads(2))
        XCTAssertEqual(embedding.status, 0, embedding.errors)
        XCTAssertTrue(embedding.output.contains("[29, 64]"), embedding.output)
        XCTAssertTrue(FileManager.default.fileExists(atPath: path("x.npy.skipped.txt")))

        let archive = try run(["embed", "--run", path("run1"), "--output", path("x.npz")] + Self.threads(2))
        XCTAssertEqual(archive.status, 0, archive.errors)
        let arrays = try self.arrays(of: path("x.npz"))
        XCTAssertEqual(arrays.keys.sorted(), ["classes", "features", "ids", "labels"])
        XCTAssertEqual(
            arrays["features"], try Data(contentsOf: URL(fileURLWithPath: path("x.npy"))).suffix(29 * 64 * 4))
        XCTAssertEqual(
            try numbers(arrays["labels"], as: Int32.self), (0..<29).map { $0 < 14 ? 0 : 1 })
        /// Text of four bytes for each letter, with zeros after it.
        func texts(_ name: String, count: Int) throws -> [String] {
            let letters = try numbers(arrays[name], as: UInt32.self)
            let width = letters.count / count
            return (0..<count).map { row in
                String(
                    String.UnicodeScalarView(
                        letters[row * width..<(row + 1) * width].compactMap {
                            $0 == 0 ? nil : Unicode.Scalar(UInt32($0))
                        }))
            }
        }
        XCTAssertEqual(try texts("classes", count: 2), ["colour", "grey"])
        let even = (0..<15).map { 2 * $0 }.filter { $0 != 8 }.map { "train/colour/\(100 + $0).jpg" }
        let odd = (0..<15).map { "train/grey/\(101 + 2 * $0).jpg" }
        XCTAssertEqual(try texts("ids", count: 29), even + odd)
    }

    func testFoldersWithoutSplitsCannotBeJudged() throws {
        try writeFolders()
        let one = path("data/val")
        let ending = try run(
            trainArguments("run", steps: 0, ["--set", "data.imageSize=32", "--set", "batch=8"], data: "data/val"))
        XCTAssertEqual(ending.status, 0, ending.errors)
        let whole = "\(one): has no folders train and test, so all of it is one set, of 2 classes: colour, grey"
        XCTAssertEqual(ending.errors, "dim-dist: \(whole)\n")
        try assertRefused(
            ["eval", "--run", path("run")],
            [
                "\(one): has no train and test split",
                "folders train and "
                    + "test",
            ])
        try assertRefused(
            ["embed", "--run", path("run"), "--output", path("x.npy"), "--split", "unlabelled"],
            ["\(one): has no unlabelled split"])
    }
}
