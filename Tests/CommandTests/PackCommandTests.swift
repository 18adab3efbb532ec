import Foundation
import XCTest

/// Packed folders in the place of the data that they were made from.
final class PackCommandTests: CommandTestCase {
    private static let small = [
        "encoder.kind=convolutional", "encoder.blocks=[{channels: 4}, {channels: 6}]", "encoder.fullyConnected=[12]",
    ].flatMap { ["--set", $0] }

    /// 36 and 12 image files of 24x18 pixels each, in two classes.
    private func writeFolders() throws {
        let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("DatasetsTests/Fixtures")
        let names = ["rgb.png", "grey.jpg", "palette.png", "progressive.jpg", "turned.jpg", "grey16.png"]
        let images = try names.map { try Data(contentsOf: fixtures.appendingPathComponent($0)) }
        for (split, count) in [("train", 36), ("val", 12)] {
            for i in 0..<count {
                let folder = "\(path("data"))/\(split)/\(i % 2 == 0 ? "dog" : "café")"
                try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
                try images[i * 5 % 6].write(to: URL(fileURLWithPath: "\(folder)/\(100 + i).png"))
            }
        }
    }

    private func pack(_ output: String, _ more: [String] = [], data: String = "data", mpi: Int? = nil) throws -> Ending
    {
        try run(["pack", "--data", path(data), "--output", path(output)] + more, mpi: mpi)
    }

    private func files(_ folder: String) throws -> [String: Data] {
        let names = try FileManager.default.contentsOfDirectory(atPath: path(folder))
        return try Dictionary(
            uniqueKeysWithValues: names.map {
                ($0, try Data(contentsOf: URL(fileURLWithPath: path("\(folder)/\($0)"))))
            })
    }

    func testRunsOnAPackedFolderAreThoseOnItsImageFiles() throws {
        try writeFolders()
        let size = ["--set", "data.imageSize=32"]
        let ending = try pack("packed", size)
        XCTAssertEqual(ending.status, 0, ending.errors)
        XCTAssertEqual(
            ending.output,
            """
            \(path("packed"))/train.npy: uint8 [36, 32, 32, 3], 110592 bytes, with labels of 2 classes
            \(path("packed"))/test.npy: uint8 [12, 32, 32, 3], 36864 bytes, with labels of 2 classes

            """)
        XCTAssertTrue(ending.errors.contains("6 of 36 image files have 16 bits"), ending.errors)
        XCTAssertTrue(ending.errors.contains("6 of 36 image files have an EXIF orientation"), ending.errors)
        for ranks in [2, 3] {
            XCTAssertEqual(try pack("packed\(ranks)", size, mpi: ranks).status, 0)
            XCTAssertEqual(try files("packed\(ranks)"), try files("packed"))
        }
        for ranks in 1...3 {
            let world = Self.threads(ranks) + Self.small
            XCTAssertEqual(try run(trainArguments("run", steps: 3, size + world)).status, 0)
            try succeed(trainArguments("run-packed", steps: 3, world, data: "packed"))
            // The size may stay among the settings.
            try succeed(trainArguments("run-sized", steps: 3, size + world, data: "packed"))
            let losses = try losses("run")
            XCTAssertEqual(losses.count, 3)
            XCTAssertEqual(losses, try self.losses("run-packed"), "\(ranks) ranks")
            XCTAssertEqual(losses, try self.losses("run-sized"), "\(ranks) ranks")
            for run in ["run", "run-packed", "run-sized"] { try FileManager.default.removeItem(atPath: path(run)) }
        }
    }

    func testFeaturesAndScoresAreTheSame() throws {
        try writeFolders()
        XCTAssertEqual(try pack("packed", ["--set", "data.imageSize=32"]).status, 0)
        XCTAssertEqual(try run(trainArguments("run", steps: 1, ["--set", "data.imageSize=32"] + Self.small)).status, 0)
        var arrays: [[String: Data]] = []
        var tables: [String] = []
        for data in ["data", "packed"] {
            let archive = path("\(data).npz")
            let names = ["--run", path("run"), "--data", path(data)]
            let embedding = try run(["embed", "--output", archive, "--split", "test"] + names + Self.threads(2))
            XCTAssertEqual(embedding.status, 0, embedding.errors)
            arrays.append(try self.arrays(of: archive))
            let evaluation = try run(["eval", "--probe", "knn", "--without-controls"] + names + Self.threads(3))
            XCTAssertEqual(evaluation.status, 0, evaluation.errors)
            tables.append(evaluation.output)
        }
        XCTAssertEqual(arrays[0].keys.sorted(), ["classes", "features", "ids", "labels"])
        XCTAssertEqual(arrays[0], arrays[1])
        XCTAssertEqual(tables[0], tables[1])
    }

    func testWhatCannotBePackedIsRefusedInOneLine() throws {
        try writeData()
        func refused(_ arguments: [String], _ texts: [String], line: UInt = #line) throws {
            try assertRefused(["pack", "--data", path("data")] + arguments, texts, line: line)
        }
        let output = ["--output", path("packed")]
        try refused([], ["--output is missing"])
        try refused(output + ["--set", "steps=1"], ["--set steps", "data.imageSize"])
        try refused(output + ["--set", "data.imageSize=many"], ["data.imageSize is \"many\"", "a whole number"])
        try refused(output + ["--set", "data.layout=channelsLast"], ["data.layout is channelsLast", "no .npy images"])
        try refused(output + ["--split", "unlabelled"], ["idx has no unlabelled split"])
        try refused(["--output", path("data")], ["holds other files (t10k-images"])
        XCTAssertEqual(try pack("packed").status, 0)
        try refused(output + ["--split", "train"], ["holds another packing", "--split"])
        XCTAssertTrue(try pack("packed").output.hasSuffix("all was packed before\n"))
    }

    /// As where the disk is full.
    func testAFailedWriteLosesNothing() throws {
        try writeData()
        let program = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
        let command = ["pack", "--data", path("data"), "--output", path("packed")]
        let limited = try RunningProgram(
            URL(fileURLWithPath: "/bin/sh"),
            ["-c", "ulimit -f 40; exec \"$@\"", "sh", program.appendingPathComponent("dim-dist").path] + command,
            environment: ["OMP_NUM_THREADS": "1"], folder: folder
        ).end(within: Self.patience)
        XCTAssertEqual(limited.status, 2, limited.errors)
        XCTAssertEqual(limited.errorLines.count, 1, limited.errors)
        XCTAssertTrue(limited.errors.contains("train.npy.packing: can't be made"), limited.errors)
        try succeed(command)
        XCTAssertEqual(try pack("whole").status, 0)
        XCTAssertEqual(
            try files("packed").filter { $0.key.hasSuffix(".npy") },
            try files("whole").filter { $0.key.hasSuffix(".npy") })
    }
}
