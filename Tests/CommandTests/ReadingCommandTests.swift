import Foundation
import XCTest

/// Notes of commands on reading data: files left out or converted, and differences from an earlier run.
final class ReadingCommandTests: CommandTestCase {
    private static let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("DatasetsTests/Fixtures")

    /// 24 training and 12 test images of these fixtures in turn, of two classes.
    private func writeFolders(_ names: [String], _ splits: [String] = ["train", "test"]) throws {
        let images = try names.map { try Data(contentsOf: Self.fixtures.appendingPathComponent($0)) }
        for (split, count) in zip(splits, [24, 12]) {
            for i in 0..<count {
                let folder = "\(path("data"))/\(split)/\(i % 4 < 2 ? "a" : "b")"
                try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
                try images[i % images.count].write(to: URL(fileURLWithPath: "\(folder)/\(100 + i).png"))
            }
        }
    }

    private func train(_ output: String, steps: Int = 1, _ more: [String] = []) -> [String] {
        trainArguments(output, steps: steps, ["--set", "data.imageSize=32"] + more)
    }

    private func evaluation(of run: String) -> [String] {
        ["eval", "--run", path(run), "--probe", "knn", "--without-controls"]
    }

    /// Makes a checkpoint one of an earlier version of the program, with another mean, as other pixels had.
    private func age(_ run: String, step: Int, reading: Int?) throws {
        let file = URL(fileURLWithPath: path(run) + "/checkpoints/step-0000000\(step)/manifest.json")
        var manifest = try XCTUnwrap(JSONSerialization.jsonObject(with: Data(contentsOf: file)) as? [String: Any])
        XCTAssertEqual(manifest["reading"] as? Int, 2)
        manifest["reading"] = reading
        (manifest["format"], manifest["crc32"]) = (1, nil)  // which has no checksum
        var card = try XCTUnwrap(manifest["card"] as? [String: Any])
        var normalisation = try XCTUnwrap(card["normalisation"] as? [String: Any])
        normalisation["mean"] = [0.25, 0.5, 0.75]
        card["normalisation"] = normalisation
        manifest["card"] = card
        try JSONSerialization.data(withJSONObject: manifest).write(to: file)
    }

    /// Expects success, and exactly these lines on standard error, less what opens each.
    private func assertSays(_ arguments: [String], _ lines: [String], line: UInt = #line) throws {
        let ending = try run(arguments)
        XCTAssertEqual(ending.status, 0, ending.errors, line: line)
        let said = ending.errorLines.filter { !$0.hasPrefix("dim-dist: trained code, ") }  // how far eval is
        XCTAssertEqual(said.count, lines.count, ending.errors, line: line)
        for (found, expected) in zip(said, lines) {
            XCTAssertTrue(found.contains(expected), "no \"\(expected)\" in: \(found)", line: line)
        }
    }

    func testWhatIsLeftOutOrConvertedIsSaidOnce() throws {
        try writeFolders(["rgb.png", "grey16.png"])
        for split in ["train", "test", "val"] {
            let folder = path("data/\(split)/c")
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            for name in ["1.webp", "2.png"] where split == "val" || name == "1.webp" {
                let image = try Data(contentsOf: Self.fixtures.appendingPathComponent("rgb.png"))
                try image.write(to: URL(fileURLWithPath: "\(folder)/\(name)"))
            }
        }
        let data = path("data")
        func lines(_ split: String, _ count: Int) -> [String] {
            [
                "/\(split): left out 1 of \(count + 1) files, whose names don't end in .jpg, .jpeg, .png: 1 .webp",
                "/\(split): found no image file in c",
                ": \(count / 2) of \(count) image files have 16 bits for each value, of which the upper 8 are used;",
            ].map { "dim-dist: \(data)\($0)" }
        }
        let left = "dim-dist: \(data): left out val, because the test split is test"
        for ranks in [1, 3] {
            try assertSays(train("run\(ranks)", Self.threads(ranks)), [left] + lines("train", 24))
            try assertSays(
                evaluation(of: "run\(ranks)") + Self.threads(ranks), [left] + lines("train", 24) + lines("test", 12))
        }
    }

    func testAnEarlierRunOnOtherPixelsIsTold() throws {
        try writeFolders(["rgb.png", "gamma.png", "alpha.png"])
        let opening = "step-00000001 is of version 1 of reading data, but this program has version 2: "
        let note = ": 8 of 24 image files have transparent parts"
        let change = opening + "16 of 24 image files had other pixels"
        try assertSays(train("run", steps: 1), [note])
        try age("run", step: 1, reading: nil)
        let test = [": 4 of 12 image files have transparent parts", opening + "8 of 12 image files had other pixels"]
        try assertSays(evaluation(of: "run"), [note, change] + test)
        try assertSays(["embed", "--run", path("run"), "--output", path("x.npy")], [note, change])
        try assertSays(train("run", steps: 2, ["--resume"] + Self.threads(3)), [change, note])
        try assertSays(train("run", steps: 3, ["--resume"]), [note])
        try age("run", step: 3, reading: 3)
        let later =
            "step-00000003 is of version 3 of reading data, but this program has version 2: the data may now "
            + "be read otherwise"
        try assertSays(train("run", steps: 4, ["--resume"]), [later, note])
        XCTAssertEqual(try losses("run").count, 4)
    }

    func testOtherImagesOfAnEarlierRunAreRefused() throws {
        try writeFolders(["rgb.png", "palette.png"])
        try succeed(train("run"))
        try age("run", step: 1, reading: nil)
        let ending = try run(train("run", steps: 2, ["--resume"]))
        XCTAssertEqual(ending.status, 2)
        XCTAssertTrue(ending.errors.contains("are not those of the run in"), ending.errors)
    }

    func testAnEarlierRunOnOtherSplitsIsTold() throws {
        try writeFolders(["rgb.png", "grey.png"], ["Train", "Test"])
        try succeed(train("run"))
        try age("run", step: 1, reading: nil)
        let change = "the train split of \(path("data")) is now \(path("data"))/Train, and was all of it"
        try assertSays(
            train("run", steps: 2, ["--resume"]), [change + "; the run continues with the data as they are read now"])
        try assertSays(evaluation(of: "run"), [])
    }
}
