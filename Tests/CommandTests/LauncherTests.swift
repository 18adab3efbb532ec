import Foundation
import XCTest

/// The program under mpirun, as separate processes.
final class LauncherTests: CommandTestCase {
    override func setUpWithError() throws {
        try super.setUpWithError()
        try writeData()
    }

    /// Lines that the program wrote, without what mpirun has to say of its end.
    private func ownLines(_ ending: Ending) -> [String] { ending.errorLines.filter { $0.contains("dim-dist: ") } }

    func testTrainingIsThatOfThreads() throws {
        let output = try succeed(trainArguments("processes", steps: 3), mpi: 2)
        XCTAssertTrue(output.contains("2 ranks"), output)
        XCTAssertEqual(output.components(separatedBy: "trained: ").count, 2, "one rank speaks: \(output)")
        try succeed(trainArguments("threads", steps: 3, Self.threads(2)))
        let (found, expected) = (try losses("processes"), try losses("threads"))
        XCTAssertEqual(found.count, 3)
        for (a, b) in zip(found, expected) { XCTAssertEqual(a, b, accuracy: 1e-4) }
        XCTAssertEqual(try checkpoints("processes"), ["step-00000003"])
    }

    func testEmbeddingIsThatOfOneProcess() throws {
        try succeed(trainArguments("run", steps: 0))
        let embed = ["embed", "--run", path("run"), "--output"]
        try succeed(embed + [path("1.npy")])
        try succeed(embed + [path("2.npy")], mpi: 2)
        XCTAssertEqual(
            try Data(contentsOf: URL(fileURLWithPath: path("1.npy"))),
            try Data(contentsOf: URL(fileURLWithPath: path("2.npy"))))
    }

    func testABadFileIsOneLine() throws {
        try Data(repeating: 7, count: 1000).write(to: URL(fileURLWithPath: path("bad")))
        for arguments in [trainArguments("run", steps: 1, data: "bad"), ["train", "--ouput", path("bad")]] {
            let ending = try run(arguments, mpi: 2)
            XCTAssertEqual(ending.status, 2, ending.errors)
            XCTAssertEqual(ownLines(ending).count, 1, ending.errors)
        }
        let ending = try run(trainArguments("run", steps: 1, data: "bad"), mpi: 2)
        XCTAssertTrue(ownLines(ending).first?.contains(path("bad")) == true, ending.errors)
    }

    /// Two processes that each think they are alone would train the same model twice.
    func testUnconnectedRanksAreRefused() throws {
        for transport in [["--transport", "none"], Self.threads(2)] {
            let ending = try run(trainArguments("run", steps: 1, transport), mpi: 2)
            XCTAssertEqual(ending.status, 2, ending.errors)
            let lines = ending.errorLines.filter { $0.hasPrefix("dim-dist: ") }
            XCTAssertEqual(lines.count, 1, ending.errors)
            XCTAssertTrue(ending.errors.contains("started 2 processes"), ending.errors)
            XCTAssertFalse(FileManager.default.fileExists(atPath: path("run")))
        }
    }

    func testHelpIsPrintedOnce() throws {
        let output = try succeed(["--help"], mpi: 2)
        XCTAssertEqual(output.components(separatedBy: "mpirun -np N").count, 2, output)
    }

    func testADeadRankEndsTheJobAndNothingIsLost() throws {
        let arguments = trainArguments("run", steps: 100_000, ["--set", "checkpoint.every=3"])
        let running = try start(arguments, mpi: 2)
        try waitForSteps(4, of: "run")
        let ranks = children(of: running.identifier)
        XCTAssertEqual(ranks.count, 2)
        let victim = try XCTUnwrap(ranks.last)
        XCTAssertEqual(kill(victim, SIGKILL), 0)
        let ending = try running.end(within: 10)
        XCTAssertNotEqual(ending.status, 0)
        for _ in 0..<200 where ranks.contains(where: isAlive) { usleep(10_000) }
        XCTAssertEqual(ranks.filter(isAlive), [])

        try succeed(trainArguments("run", steps: 4, ["--resume"]))
        XCTAssertGreaterThanOrEqual(try losses("run").count, 4)
        XCTAssertEqual(try metrics("run").map { $0["step"] as? Int }, try losses("run").indices.map { $0 + 1 })
    }

    private func children(of parent: pid_t) -> [pid_t] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return names.compactMap { pid_t($0) }.filter { status(of: $0)["PPid"] == "\(parent)" }.sorted()
    }

    private func isAlive(_ process: pid_t) -> Bool { !(status(of: process)["State"] ?? "Z").hasPrefix("Z") }

    /// The entries of /proc/PID/status; none where there is no such process.
    private func status(of process: pid_t) -> [String: String] {
        let text = (try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)) ?? ""
        let entries = text.split(separator: "\n").map { $0.split(separator: ":", maxSplits: 1) }
        return entries.reduce(into: [:]) { result, entry in
            if entry.count == 2 { result[String(entry[0])] = entry[1].trimmingCharacters(in: .whitespaces) }
        }
    }
}
