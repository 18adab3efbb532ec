import Foundation
import XCTest

/// Standard streams that are full, closed, or have nobody at their other end.
final class StreamTests: CommandTestCase {
    private let loss = ["bench", "loss", "--images", "8", "--locations", "2", "--dimensions", "4"]

    /// A script that takes the exit status for the result must not go on with nothing.
    func testAResultThatCannotBeWritten() throws {
        for arguments in [
            ["--help"], ["train", "--help"], loss, loss + ["--json"], loss + Self.threads(2), ["doctor"],
        ] {
            for (redirected, reason) in [(">/dev/full", "No space left"), (">&-", "Bad file descriptor")] {
                let ending = try run(arguments, redirected: redirected)
                XCTAssertEqual(ending.status, 1, "\(arguments) \(ending.errors)")
                XCTAssertEqual(ending.errorLines.count, 1, ending.errors)
                XCTAssertTrue(ending.errors.contains("standard output: \(reason)"), ending.errors)
            }
        }
    }

    /// No file of a run may get the number of a closed stream, and with it what is printed.
    func testClosedStreams() throws {
        try writeData()
        let ending = try run(trainArguments("run", steps: 3), redirected: "<&- >&- 2>&-")
        XCTAssertEqual(ending.status, 0)
        XCTAssertEqual(try metrics("run").compactMap { $0["step"] as? Int }, [1, 2, 3])
        try succeed(trainArguments("run", steps: 4, ["--resume"]))
    }

    /// Half an hour's table is printed, whatever becomes of the run's own files.
    func testEvaluationOfARunThatCannotBeWritten() throws {
        try writeData()
        try succeed(trainArguments("run", steps: 1))
        let metrics = path("run/metrics.jsonl")
        try FileManager.default.removeItem(atPath: metrics)
        for name in [metrics, path("run/evaluation.txt")] {
            try FileManager.default.createDirectory(atPath: name + "/full", withIntermediateDirectories: true)
        }
        let ending = try run(["eval", "--run", path("run"), "--probe", "knn", "--without-controls"])
        XCTAssertEqual(ending.status, 0, ending.errors)
        XCTAssertTrue(ending.output.contains("trained "), ending.output)
        XCTAssertTrue(ending.errors.contains("\(metrics): Is a directory; scores are printed"), ending.errors)
        XCTAssertTrue(ending.errors.contains("can't write \(path("run"))/evaluation.txt"), ending.errors)
    }
}
