import Datasets
import Foundation
import XCTest

/// Runs that an earlier build left (`Fixtures/earlier_runs.py` wrote them) are ours to go on with: their settings,
/// checkpoints and numbers. Other processors round otherwise, so numbers are held to 1e-5.
final class EarlierRunTests: CommandTestCase {
    private static let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent().path + "/Fixtures"
    private static let names = ["infoNCE", "mixture"]
    private let images = fixtures + "/images"

    /// Copies a run into a folder of ours, and unpacks its arrays.
    private func copy(_ name: String, to copy: String) throws {
        try FileManager.default.copyItem(atPath: "\(Self.fixtures)/\(name)", toPath: path(copy))
        let unpacked = try RunningProgram(
            URL(fileURLWithPath: "/usr/bin/env"), ["gunzip", "-r", path(copy)],
            environment: ProcessInfo.processInfo.environment, folder: folder
        ).end(within: Self.patience)
        XCTAssertEqual(unpacked.status, 0, unpacked.errors)
    }

    /// Compares loss, terms and mutual information.
    private func assertSame(
        _ found: some Collection<[String: Any]>, _ expected: [[String: Any]], _ name: String, line: UInt = #line
    ) throws {
        func numbers(_ metric: [String: Any]) throws -> [String: Double] {
            var result = try XCTUnwrap(metric["terms"] as? [String: Double], name, line: line)
            for key in ["step", "epoch", "loss", "mutual_information"] { result[key] = metric[key] as? Double }
            return result
        }
        XCTAssertEqual(found.count, expected.count, name, line: line)
        for (a, b) in zip(try found.map(numbers), try expected.map(numbers)) {
            XCTAssertEqual(Set(a.keys), Set(b.keys), name, line: line)
            for (key, value) in b {
                XCTAssertEqual(
                    a[key] ?? .nan, value, accuracy: 1e-5 * max(1, abs(value)), "\(name): \(key)", line: line)
            }
        }
    }

    /// Shapes of the arrays in a checkpoint's files, by file and name.
    private func shapes(_ run: String, step: Int) throws -> [String: [Int]] {
        var result: [String: [Int]] = [:]
        for file in ["model", "optimiser"] {
            let location = path(run) + "/checkpoints/step-0000000\(step)/\(file).safetensors"
            let data = try Data(contentsOf: URL(fileURLWithPath: location))
            let length = data.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
            let header = try JSONSerialization.jsonObject(with: Data(data.dropFirst(8).prefix(length)))
            for (name, entry) in try XCTUnwrap(header as? [String: [String: Any]]) where name != "__metadata__" {
                result["\(file) \(name)"] = try XCTUnwrap(entry["shape"] as? [Int], name)
            }
        }
        return result
    }

    func testAnEarlierRunGoesOn() throws {
        for name in Self.names {
            let expected = try jsonLines("\(Self.fixtures)/\(name)/next-steps.jsonl")
            for ranks in [1, 3] {
                let run = "\(name) \(ranks)"
                try copy(name, to: run)
                let arrays = try shapes(run, step: 3)
                let output = try succeed(
                    ["train", "--data", images, "--output", path(run), "--resume", "--steps", "5"]
                        + (ranks > 1 ? Self.threads(ranks) : []))
                XCTAssertTrue(output.contains("from step 3"), output)
                let noted = try metrics(run)
                XCTAssertEqual(noted.map { $0["step"] as? Int }, [1, 2, 3, 4, 5], run)
                try assertSame(noted.suffix(2), expected, run)
                XCTAssertEqual(try shapes(run, step: 5), arrays, run)
            }
        }
    }

    func testAnEarlierRunHasItsFeatures() throws {
        for name in Self.names {
            try copy(name, to: name)
            // One convolution of stride 2 makes the local map of images of 10x10, two the last.
            for (layer, width) in [("code", 12), ("fc", 24), ("conv", 2 * 2 * 16), ("local", 5 * 5 * 8)] {
                let file = path("\(name)-\(layer).npy")
                try succeed(
                    ["embed", "--run", path(name), "--data", images, "--layer", layer, "--output", file])
                let features = try NumPyArray(path: file)
                XCTAssertEqual(features.shape, [48, width], "\(name) \(layer)")
                guard layer == "code" else { continue }
                let expected = try NumPyArray(path: "\(Self.fixtures)/\(name)/code.npy")
                for (a, b) in zip(try features.read(rows: 0..<48), try expected.read(rows: 0..<48)) {
                    XCTAssertEqual(a, b, accuracy: 1e-5 * max(1, abs(b)), name)
                }
            }
        }
    }

    /// `--set` takes every setting of an earlier `config.json`, and trains the same.
    func testEarlierSettingsAreKnown() throws {
        for name in Self.names {
            let file = URL(fileURLWithPath: "\(Self.fixtures)/\(name)/config.json")
            let settings = try leaves(JSONSerialization.jsonObject(with: Data(contentsOf: file)))
            XCTAssertGreaterThan(settings.count, 40)
            let typed = settings.filter { $0.path != "data.path" }.flatMap { ["--set", "\($0.path)=\($0.value)"] }
            try succeed(["train", "--output", path(name), "--set", "data.path=\(images)"] + typed)
            try assertSame(metrics(name), jsonLines("\(Self.fixtures)/\(name)/metrics.jsonl"), name)
        }
    }

    /// Dotted paths of a tree's leaves, lists being leaves, and their values as one types them.
    private func leaves(_ tree: Any, at path: [String] = []) throws -> [(path: String, value: String)] {
        if let members = tree as? [String: Any] {
            return try members.flatMap { try leaves($1, at: path + [$0]) }
        }
        let value = try JSONSerialization.data(withJSONObject: tree, options: .fragmentsAllowed)
        return [(path.joined(separator: "."), tree as? String ?? String(decoding: value, as: UTF8.self))]
    }
}
