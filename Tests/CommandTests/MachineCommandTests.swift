import Foundation
import XCTest

/// `bench` and `doctor`.
final class MachineCommandTests: CommandTestCase {
    private func bench(_ more: [String]) throws -> [String: Double] {
        let output = try succeed(["bench", "step", "--json", "--steps", "3", "--batch", "4"] + more)
        let object = try JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Double]
        return try XCTUnwrap(object, output)
    }

    func testBenchPrintsOneObject() throws {
        for ranks in [1, 2] {
            let report = try bench(["--units", "16"] + Self.threads(ranks))
            let median = try XCTUnwrap(report["step_ms"])
            XCTAssertGreaterThan(median, 0)
            XCTAssertEqual(report["images_per_second"] ?? 0, Double(4 * ranks) / median * 1000, accuracy: 1e-6)
            XCTAssertLessThanOrEqual(report["step_ms_lowest"] ?? .infinity, median)
            XCTAssertGreaterThanOrEqual(report["step_ms_highest"] ?? 0, median)
            XCTAssertEqual(report["ranks"], Double(ranks))
            XCTAssertEqual(report["threads"], 1)
            XCTAssertEqual(report["units"], 16)
            XCTAssertEqual(report["batch_per_rank"], 4)
            XCTAssertGreaterThan(report["peak_memory_mib"] ?? 0, 10)
            XCTAssertEqual(report["system_allocations_after_warm_up"], 0)
        }
    }

    func testBenchTakesSettings() throws {
        XCTAssertEqual(try bench(["--set", "critic.units=8"])["units"], 8)
        XCTAssertEqual(try bench(["--set", "critic.units=8", "--units", "9"])["units"], 9)
        let sentence = try succeed(["bench", "step", "--steps", "1", "--batch", "4", "--units", "16"])
        XCTAssertTrue(sentence.contains("images/s on 1 rank"), sentence)
        try assertRefused(["bench", "step", "--set", "encoder.kind=basic28x28"] + Self.threads(2), ["basic28x28"])
    }

    func testDoctorHasALineForEachSubject() throws {
        let ending = try run(["doctor"])
        XCTAssertEqual(ending.errors, "")
        let lines = ending.output.split(separator: "\n").map(String.init)
        let subjects = ["mpi", "slots", "binding", "shared memory", "single copy", "blas kernel", "products"]
        XCTAssertEqual(lines.count, subjects.count, ending.output)
        for (line, subject) in zip(lines, subjects) {
            XCTAssertTrue(line.hasPrefix(subject + " "), line)
            XCTAssertGreaterThan(line.count, subject.count + 5)
        }
        let areOK = lines.allSatisfy { $0.dropFirst(14).hasPrefix("ok, ") }
        XCTAssertEqual(ending.status, areOK ? 0 : 1, ending.output)
        XCTAssertTrue(lines[1].contains("1 rank on 1 host"), lines[1])
    }
}
