import Datasets
import Foundation
import XCTest

/// `estimate` as it is typed; what it estimates is tested with `MutualInformation`.
final class EstimateCommandTests: CommandTestCase {
    private let rows = 400

    private func write(_ name: String, shape: [Int], _ values: (Int) -> Float) throws {
        try NumPyArray.write(
            path: path(name), shape: shape, values: (0..<shape.reduce(1, *)).map(values))
    }

    /// Numbers without order in -1...1.
    private static func scattered(_ i: Int) -> Float { Float(sin(Double(i * i % 7919) * 1.7)) }

    private func arguments(_ more: [String] = []) -> [String] {
        ["estimate", "--x", path("x.npy"), "--y", path("y.npy")] + more
    }

    private func report(_ more: [String]) throws -> (report: [String: Any], errors: [String]) {
        let ending = try run(arguments(more))
        XCTAssertEqual(ending.status, 0, ending.errors)
        XCTAssertEqual(ending.output.split(separator: "\n").count, 1, ending.output)
        let object = try JSONSerialization.jsonObject(with: Data(ending.output.utf8)) as? [String: Any]
        return (try XCTUnwrap(object), ending.errorLines)
    }

    func testPrintsOneObjectAndWarnsBeside() throws {
        try write("x.npy", shape: [rows]) { Self.scattered($0) }  // one axis: a scalar a row
        try write("y.npy", shape: [rows, 2]) { Self.scattered($0 / 2) * Float($0 % 2 + 1) }
        let more = ["--steps", "100", "--units", "16", "--batch", "32", "--seed", "3", "--rate", "0.01"]
        for critic in ["separable", "concatenated"] {
            var values: [Double] = []
            for ranks in [1, 3] {
                let (report, errors) = try report(more + ["--critic", critic] + Self.threads(ranks))
                XCTAssertEqual(
                    Set(report.keys),
                    [
                        "estimator", "nats", "standard_error", "ceiling", "reference_nats", "equal_rows", "warning",
                        "critic", "training_nats",
                        "effective_pairs", "step", "batch", "training_rows", "validation_rows", "test_rows", "seed",
                        "seconds", "world_size",
                    ])
                XCTAssertEqual(report["estimator"] as? String, "infoNCE")
                XCTAssertEqual(report["critic"] as? String, critic)
                XCTAssertEqual(report["world_size"] as? Int, ranks)
                XCTAssertEqual(report["training_rows"] as? Int, 280)
                XCTAssertEqual(report["test_rows"] as? Int, 80)
                let ceiling = try XCTUnwrap(report["ceiling"] as? Double)
                XCTAssertEqual(ceiling, log(80), accuracy: 1e-9)
                values.append(try XCTUnwrap(report["nats"] as? Double))
                XCTAssertGreaterThan(values.last ?? 0, 1)  // y says all of x
                XCTAssertLessThan(values.last ?? 0, ceiling)
                let warning = try XCTUnwrap(report["warning"] as? String)
                XCTAssert(warning.contains("too few rows: only 80"), warning)
                XCTAssert(errors.contains { $0.hasPrefix("dim-dist: warning: too few rows: only 80") }, "\(errors)")
            }
            XCTAssertEqual(values[1], values[0], accuracy: 0.02, critic)
        }
    }

    /// As NumPy writes labels: int64, one axis.
    func testTakesWholeNumbers() throws {
        let labels = (0..<rows).map { Int64($0 * $0 % 7) }
        try writeArray("y.npy", "<i8", [rows], labels)
        try write("x.npy", shape: [rows]) { Float(labels[$0]) + 0.1 * Self.scattered($0) }
        let (report, errors) = try report(["--steps", "100", "--units", "16", "--batch", "32", "--rate", "0.01"])
        XCTAssert(errors.contains { $0.contains("y: 1 of 1 columns hold few values, 4 in total") }, "\(errors)")
        XCTAssertGreaterThan(report["nats"] as? Double ?? 0, 0.8)  // four squares modulo 7: 1.35 nats
    }

    func testOtherEstimatorsCountPairs() throws {
        try write("x.npy", shape: [rows, 1]) { Self.scattered($0) }
        try write("y.npy", shape: [rows, 1]) { Self.scattered($0) }
        let (report, _) = try report(
            ["--estimator", "mine", "--steps", "50", "--units", "8", "--batch", "32", "--held-out", "0.5"])
        let (rows, pairs) = (134.0, 134.0 * 133)  // of the 200 held out, two thirds
        XCTAssertEqual(report["test_rows"] as? Double, rows)
        XCTAssertEqual(report["ceiling"] as? Double ?? 0, log(pairs + 1), accuracy: 1e-9)
        XCTAssertNotNil(report["effective_pairs"] as? Double)
        XCTAssertEqual(report["training_rows"] as? Int, 200)
    }

    /// y is x and noise that is uniform in ±0.1, as scattered as x: 1.7 nats.
    func testNearestNeighboursTrainNothing() throws {
        try write("x.npy", shape: [rows]) { Self.scattered($0) }
        try write("y.npy", shape: [rows]) { Self.scattered($0) + 0.2 * Self.scattered($0 + 5000) }
        var values: [Double] = []
        for ranks in [1, 3] {
            let (report, errors) = try report(["--estimator", "ksg"] + Self.threads(ranks))
            XCTAssertEqual(errors, [])
            XCTAssertEqual(report["estimator"] as? String, "ksg")
            for name in ["warning", "critic", "step", "batch", "training_nats", "test_rows", "ceiling"] {
                XCTAssert(report[name] is NSNull, name)
            }
            XCTAssertEqual(report["equal_rows"] as? Int, 0)
            values.append(try XCTUnwrap(report["nats"] as? Double))
            XCTAssertEqual(report["reference_nats"] as? Double ?? 0, values.last ?? 1, accuracy: 1e-12)
        }
        XCTAssertGreaterThan(values[0], 1)
        XCTAssertEqual(values[1], values[0], accuracy: 1e-9)
        try assertRefused(
            arguments(["--estimator", "ksg", "--steps", "5"]), ["--steps is for a critic", "leave --steps out"])
        try write("x.npy", shape: [rows, 6]) { Self.scattered($0) }
        for ranks in [[], Self.threads(3)] {
            try assertRefused(
                arguments(["--estimator", "ksg"] + ranks),
                ["x has 6 columns and y has 1", "at most 5", "another --estimator"])
        }
    }

    /// Each row four times: 400 rows, 100 of them different.
    func testEqualRowsAreCounted() throws {
        try write("x.npy", shape: [rows, 2]) { Self.scattered($0 / 2 % 100 * 2 + $0 % 2) }
        try write("y.npy", shape: [rows, 1]) { Self.scattered($0 % 100 + 900) }
        let (report, errors) = try report(["--steps", "50", "--units", "8", "--batch", "32"])
        XCTAssertEqual(report["equal_rows"] as? Int, 300)
        XCTAssert(errors.contains { $0.contains("equal rows: 300 of 400 are copies of others") }, "\(errors)")
        try write("x.npy", shape: [rows, 2]) { Self.scattered($0 / 2 % 50 * 2 + $0 % 2) }
        try write("y.npy", shape: [rows, 1]) { Self.scattered($0 % 50 + 900) }
        try assertRefused(arguments(), ["only 50 of 400 rows differ", "at least 100 different rows"])
    }

    func testWhatCannotBeEstimatedIsNamed() throws {
        func refused(_ texts: [String], line: UInt = #line) throws {
            for ranks in [[], Self.threads(3)] { try assertRefused(arguments(ranks), texts, line: line) }
        }
        try write("x.npy", shape: [rows, 2]) { Self.scattered($0) }
        try refused([path("y.npy"), "No such file"])
        try write("y.npy", shape: [rows - 1, 2]) { Self.scattered($0) }
        try refused(["x.npy has 400 rows", "y.npy has 399"])
        try write("y.npy", shape: [rows, 2]) { $0 == 601 ? .nan : Self.scattered($0) }
        try refused([path("y.npy"), "nan at row 300", "column 1 of 2"])
        try write("y.npy", shape: [rows, 2]) { _ in 3 }
        try refused(["the 280 training rows (of 400) of y are all the same"])
        try write("y.npy", shape: [rows, 2]) { Self.scattered($0) }
        try assertRefused(arguments(["--units", "65536"]), ["a critic of 65536 units", "lower --units"])
        for name in ["x.npy", "y.npy"] { try write(name, shape: [99, 2]) { Self.scattered($0) } }
        try refused(["99 rows", "at least 100"])
    }

    /// Columns that don't vary are common (dead units, margins of images) and say nothing.
    func testAConstantColumnDoesNoHarmAndIsNamed() throws {
        try write("x.npy", shape: [rows, 2]) { $0 % 2 == 0 ? 5 : Self.scattered($0 / 2) }
        try write("y.npy", shape: [rows, 1]) { Self.scattered($0) }
        for ranks in [[], Self.threads(3)] {
            let (report, errors) = try report(
                ["--steps", "50", "--units", "8", "--batch", "32", "--rate", "0.01"] + ranks)
            XCTAssertGreaterThan(report["nats"] as? Double ?? 0, 0.5)
            let line = "dim-dist: \(path("x.npy")): column 0 (of 0 to 1) is constant and carries no information"
            XCTAssertEqual(errors.filter { $0.contains("constant") }, [line])
        }
    }

    /// Doubles that are equal in float32 give the same result as the same values around 0. Seeds of 64 bits differ.
    func testDoublesAroundALargeNumber() throws {
        try writeDoubles("y.npy", columns: 1) { Double(Self.scattered($0)) }
        let more = ["--steps", "50", "--units", "8", "--batch", "32", "--rate", "0.01", "--seed"]
        var values: [Double] = []
        for (offset, seed) in [(0, "3"), (1.7e9, "3"), (0, "9223372036854775808"), (0, "9223372036854775809")] {
            try writeDoubles("x.npy", columns: 1) { offset + Double(Self.scattered($0)) }
            let (report, errors) = try report(more + [seed])
            XCTAssertEqual((report["seed"] as? NSNumber)?.stringValue, seed)
            XCTAssertFalse(errors.contains { $0.contains("constant") }, "\(errors)")
            values.append(try XCTUnwrap(report["nats"] as? Double))
        }
        XCTAssertEqual(values[1], values[0], accuracy: 0.01)
        XCTAssertEqual(Set(values[1...]).count, 3)
    }

    private func writeDoubles(_ name: String, columns: Int, _ value: (Int) -> Double) throws {
        try writeArray(name, "<f8", [rows, columns], (0..<rows * columns).map(value))
    }
}
