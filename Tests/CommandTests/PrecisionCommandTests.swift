import Foundation
import XCTest

/// Commands in bfloat16, on any processor.
final class PrecisionCommandTests: CommandTestCase {
    override func setUpWithError() throws {
        try super.setUpWithError()
        try writeData()
    }

    /// Whether this processor multiplies bfloat16.
    private func isNative() throws -> Bool {
        let line = try XCTUnwrap(
            try run(["doctor"]).output.split(separator: "\n").first { $0.hasPrefix("bfloat16 ") })
        XCTAssertTrue(line.contains("GFLOP/s a rank"), String(line))
        return line.contains("--precision bfloat16")
    }

    func testARunMayGoOnInAnotherPrecision() throws {
        let slow = "bfloat16: the processors of 1 of 1 ranks have no instructions for it"
        let first = try run(trainArguments("run", steps: 2, ["--precision", "bfloat16"]))
        XCTAssertEqual(first.status, 0, first.errors)
        XCTAssertEqual(first.errors.contains(slow), !(try isNative()), first.errors)
        XCTAssertTrue(first.output.contains("batch 24, bfloat16"), first.output)

        let second = try run(trainArguments("run", steps: 4, ["--resume", "--precision", "float32"]))
        XCTAssertEqual(second.status, 0, second.errors)
        let change = "steps to 2 were made in bfloat16, the next ones are in float32"
        XCTAssertTrue(second.errors.contains(change), second.errors)
        let lines = try metrics("run")
        XCTAssertEqual(lines.map { $0["step"] as? Int }, [1, 2, 2, 3, 4])
        XCTAssertEqual(lines.map { $0["precision"] as? String }, [nil, nil, "float32", nil, nil])

        // The first steps were of another arithmetic, with a like result.
        try succeed(trainArguments("float32", steps: 2))
        let (rounded, exact) = (try losses("run")[1], try losses("float32")[1])
        XCTAssertNotEqual(rounded, exact)
        XCTAssertEqual(rounded, exact, accuracy: 0.02 * abs(exact))
    }

    func testFeaturesInBFloat16AreNearThoseInFloat32() throws {
        try succeed(trainArguments("run", steps: 2))
        func features(_ name: String, _ more: [String]) throws -> [Float] {
            let ending = try run(["embed", "--run", path("run"), "--output", path(name)] + more)
            XCTAssertEqual(ending.status, 0, ending.errors)
            let data = try Data(contentsOf: URL(fileURLWithPath: path(name)))
            let values = data.dropFirst(10 + Int(data[8]) + 256 * Int(data[9]))
            return values.withUnsafeBytes { bytes in
                (0..<bytes.count / 4).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
            }
        }
        let rounded = try features("rounded.npy", ["--precision", "bfloat16"])
        let exact = try features("exact.npy", [])
        XCTAssertFalse(exact.isEmpty)
        XCTAssertNotEqual(rounded, exact)
        let difference = zip(rounded, exact).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
        let size = exact.reduce(0) { $0 + $1 * $1 }
        XCTAssertLessThan((difference / size).squareRoot(), 0.05)
    }

    func testBenchmarksAreOfTheirPrecision() throws {
        let output = try run([
            "bench", "step", "--json", "--units", "16", "--batch-per-rank", "4", "--steps", "2", "--precision",
            "bfloat16",
        ]).output
        let report = try XCTUnwrap(try JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any], output)
        XCTAssertEqual(report["precision"] as? String, "bfloat16")
        let pieces = try XCTUnwrap(report["pieces"] as? [[String: Any]])
        for name in ["encoder.conv3", "encoder.conv3 backward", "encoder.fc", "contrastive loss", "critic units"] {
            let piece = pieces.first { $0["name"] as? String == name }
            XCTAssertGreaterThan(piece?["gflops_per_second"] as? Double ?? 0, 0, name)
            XCTAssertGreaterThan(piece?["of_best"] as? Double ?? 0, 0, name)
        }

        func loss(_ precision: String) throws -> Double {
            let output = try run(["bench", "loss", "--json", "--images", "64", "--precision", precision]).output
            let report = try JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any]
            XCTAssertEqual(report?["precision"] as? String, precision)
            return try XCTUnwrap(report?["loss"] as? Double, output)
        }
        let (rounded, exact) = (try loss("bfloat16"), try loss("float32"))
        XCTAssertNotEqual(rounded, exact)
        XCTAssertEqual(rounded, exact, accuracy: 0.01 * exact)
    }

    func testOtherPrecisionsAreRefused() throws {
        try assertRefused(
            trainArguments("run", steps: 1, ["--precision", "float16"]), ["float16", "float32", "bfloat16"])
        try assertRefused(["bench", "step", "--precision", "half"], ["half", "float32", "bfloat16"])
    }
}
