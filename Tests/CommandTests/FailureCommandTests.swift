import Foundation
import XCTest

/// Jobs in which a rank dies, stands still, or is asked to stop.
final class FailureCommandTests: CommandTestCase {
    override func setUpWithError() throws {
        try super.setUpWithError()
        try writeData()
    }

    /// Process of a rank of a job that mpirun started, once it is there.
    private func process(ofRank rank: Int, of job: RunningProgram) throws -> pid_t {
        let deadline = Date() + Self.patience
        while Date() < deadline {
            let list = "/proc/\(job.identifier)/task/\(job.identifier)/children"
            let children = (try? String(contentsOfFile: list, encoding: .utf8)) ?? ""
            for child in children.split(separator: " ").compactMap({ pid_t($0) }) {
                let environment = FileManager.default.contents(atPath: "/proc/\(child)/environ") ?? Data()
                let variables = environment.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
                if variables.contains("OMPI_COMM_WORLD_RANK=\(rank)") { return child }
            }
            usleep(10_000)
        }
        struct NeverStarted: Error { let rank: Int }
        throw NeverStarted(rank: rank)
    }

    private func seconds(_ body: () throws -> Void) rethrows -> Double {
        let start = Date()
        try body()
        return Date().timeIntervalSince(start)
    }

    func testAKilledRankEndsTheJobWhichGoesOnLater() throws {
        let arguments = trainArguments("run", steps: 100_000, ["--set", "checkpoint.every=2"])
        let job = try start(arguments, mpi: 2)
        try waitForSteps(5, of: "run")
        let victim = try process(ofRank: 1, of: job)
        var ending: Ending!
        let time = try seconds {
            XCTAssertEqual(kill(victim, SIGKILL), 0)
            ending = try job.end(within: Self.patience)
        }
        XCTAssertLessThan(time, 10)
        XCTAssertNotEqual(ending.status, 0)
        XCTAssertTrue(ending.errors.contains("process rank 1") && ending.errors.contains("signal 9"), ending.errors)

        let done = try XCTUnwrap(
            checkpoints("run").filter { $0.hasPrefix("step-") }.last.flatMap { Int($0.dropFirst(5)) })
        try succeed(trainArguments("run", steps: done + 3, ["--resume"]), mpi: 2)
        try succeed(trainArguments("whole", steps: done + 3), mpi: 2)
        XCTAssertEqual(try losses("run"), try losses("whole"))
        let file = "checkpoints/step-" + String(format: "%08d", done + 3) + "/model.safetensors"
        XCTAssertEqual(
            FileManager.default.contents(atPath: path("run/\(file)")),
            FileManager.default.contents(atPath: path("whole/\(file)")))
    }

    func testARankThatStandsStillIsNamed() throws {
        let job = try start(trainArguments("run", steps: 100_000, ["--stall-timeout", "3"]), mpi: 3)
        try waitForSteps(2, of: "run")
        let victim = try process(ofRank: 1, of: job)
        var ending: Ending!
        let time = try seconds {
            XCTAssertEqual(kill(victim, SIGSTOP), 0)
            ending = try job.end(within: Self.patience)
        }
        XCTAssertLessThan(time, 13)
        XCTAssertNotEqual(ending.status, 0)
        // Ranks 0 and 2 may wait in one call or in two. Rank 2 reports if rank 0 came almost a second later.
        let pattern =
            #"\[rank [02] on .* stands still: ranks? 0.* 2 waits? in .*; not there: rank 1 on [^,]*no report"#
        XCTAssertNotNil(ending.errors.range(of: pattern, options: .regularExpression), ending.errors)
    }

    func testAFileStopsARun() throws {
        let job = try start(trainArguments("run", steps: 100_000), mpi: 2)
        try waitForSteps(2, of: "run")
        try Data().write(to: URL(fileURLWithPath: path("run/STOP")))
        let ending = try job.end(within: Self.patience)
        XCTAssertEqual(ending.status, 75, ending.errors)
        XCTAssertTrue(ending.output.contains("checkpoint written"), ending.output)
        XCTAssertFalse(FileManager.default.fileExists(atPath: path("run/STOP")))
        let done = try losses("run").count
        XCTAssertEqual(try checkpoints("run").last, "step-" + String(format: "%08d", done))
        try succeed(trainArguments("run", steps: done + 1, ["--resume"]))
    }

    func testASignalToOneRankStopsAll() throws {
        for signal in [SIGTERM, SIGUSR1] {
            let job = try start(trainArguments("run \(signal)", steps: 100_000), mpi: 2)
            try waitForSteps(2, of: "run \(signal)")
            XCTAssertEqual(kill(try process(ofRank: 1, of: job), signal), 0)
            let ending = try job.end(within: Self.patience)
            XCTAssertEqual(ending.status, 75, ending.errors)
            XCTAssertTrue(ending.output.contains("checkpoint written"), ending.output)
        }
    }

    func testASecondJobInARunDirectoryIsRefused() throws {
        let job = try start(trainArguments("run", steps: 100_000))
        try waitForSteps(1, of: "run")
        try assertRefused(
            trainArguments("run", steps: 100_000),
            ["another job trains in \(path("run"))", "process \(job.identifier) on", "--output"])
        XCTAssertEqual(kill(job.identifier, SIGTERM), 0)
        XCTAssertEqual(try job.end(within: Self.patience).status, 75)
    }
}
