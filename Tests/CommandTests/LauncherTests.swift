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

    /// launch/run asks for the confirmation, where mpirun's exit status isn't reliable.
    func testOneRankConfirmsThatAllWentWell() throws {
        let loss = ["bench", "loss", "--images", "8", "--locations", "2", "--dimensions", "4"]
        for (arguments, status, confirmations) in [(["--help"], Int32(0), 1), (loss, 0, 1), (["--hlep"], 2, 0)] {
            let ending = try start(arguments, mpi: 2, held: ["env", "DIM_DIST_CONFIRM=1"]).end(within: Self.patience)
            XCTAssertEqual(ending.status, status, ending.errors)
            XCTAssertEqual(ending.errorLines.count { $0 == "dim-dist: confirmed" }, confirmations, ending.errors)
        }
    }

    /// MPICH's would start unconnected ranks.
    func testRunRefusesAnotherMPI() throws {
        let mpirun = path("mpirun")
        try "#!/bin/sh\necho 'HYDRA build details:'\n".write(toFile: mpirun, atomically: true, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: mpirun)
        let repository = URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let script = repository.appendingPathComponent("launch/run")
        var environment = ProcessInfo.processInfo.environment
        environment["PATH"] = "\(folder):\(environment["PATH"] ?? "")"
        let ending = try RunningProgram(script, ["2", "train"], environment: environment, folder: folder)
            .end(within: Self.patience)
        XCTAssertEqual(ending.status, 2, ending.errors)
        XCTAssertEqual(ending.errorLines.count, 1, ending.errors)
        XCTAssertTrue(ending.errors.contains("found \(mpirun), but Open MPI 4.1 or 5.0 is needed"), ending.errors)
    }
}
