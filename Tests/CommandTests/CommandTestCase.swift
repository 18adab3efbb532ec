import Foundation
import XCTest

/// The result of a program that has ended.
struct Ending {
    /// Exit status, or 128 + the signal that ended it.
    let status: Int32
    let output: String
    let errors: String

    var errorLines: [String] { errors.split(separator: "\n").map(String.init) }
}

/// A program that was started, with its output in files.
final class RunningProgram {
    let process = Process()
    private let ended = DispatchSemaphore(value: 0)
    private let output: URL
    private let errors: URL

    init(_ executable: URL, _ arguments: [String], environment: [String: String], folder: String) throws {
        let name = UUID().uuidString
        output = URL(fileURLWithPath: "\(folder)/\(name).output")
        errors = URL(fileURLWithPath: "\(folder)/\(name).errors")
        try Data().write(to: output)
        try Data().write(to: errors)
        process.executableURL = executable
        process.arguments = arguments
        process.environment = environment
        process.currentDirectoryURL = URL(fileURLWithPath: folder)
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = try FileHandle(forWritingTo: output)
        process.standardError = try FileHandle(forWritingTo: errors)
        process.terminationHandler = { [ended] _ in ended.signal() }
        try process.run()
    }

    var identifier: pid_t { process.processIdentifier }

    /// Waits for the end. A program that takes longer than the seconds given is killed, and the test fails.
    func end(within seconds: Double, file: StaticString = #filePath, line: UInt = #line) throws -> Ending {
        if ended.wait(timeout: .now() + seconds) == .timedOut {
            XCTFail("not ended after \(seconds) s: \(process.arguments ?? [])", file: file, line: line)
            kill(identifier, SIGTERM)
            if ended.wait(timeout: .now() + 5) == .timedOut {
                kill(identifier, SIGKILL)
                ended.wait()
            }
        }
        let bySignal = process.terminationReason == .uncaughtSignal
        return Ending(
            status: process.terminationStatus + (bySignal ? 128 : 0),
            output: try String(contentsOf: output, encoding: .utf8),
            errors: try String(contentsOf: errors, encoding: .utf8))
    }
}

/// A test that runs the program that was built beside the tests, in a temporary folder.
class CommandTestCase: XCTestCase {
    private(set) var folder = ""

    /// A machine under load is slow; what takes longer hangs.
    static let patience = 120.0

    override func setUpWithError() throws {
        folder = NSTemporaryDirectory() + "dim-dist-command-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    override func tearDownWithError() throws { try FileManager.default.removeItem(atPath: folder) }

    func path(_ name: String) -> String { "\(folder)/\(name)" }

    /// Without the launcher's variables of the tests, so that the program starts as from a shell.
    private var environment: [String: String] {
        var result = ProcessInfo.processInfo.environment.filter { name, _ in
            !["OMPI_", "PRTE_", "PMIX_", "PMI_", "SLURM_", "DIM_DIST_"].contains { name.hasPrefix($0) }
        }
        result["HOME"] = folder
        result["OMP_NUM_THREADS"] = "1"
        result["OMPI_ALLOW_RUN_AS_ROOT"] = "1"
        result["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] = "1"
        // Not allowed in every container: the names of Open MPI 4 and 5.
        result["OMPI_MCA_btl_vader_single_copy_mechanism"] = "none"
        result["OMPI_MCA_smsc"] = "^cma"
        result["OMPI_MCA_reachable"] = "weighted"  // as in launch/environment
        return result
    }

    private static var program: URL {
        URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
            .appendingPathComponent("dim-dist")
    }

    /// Starts the program, under mpirun when `mpi` says how many ranks.
    /// - Parameters:
    ///   - binding: mpirun's `--bind-to`.
    ///   - held: words in front of mpirun, of a program that starts it.
    func start(
        _ arguments: [String], mpi ranks: Int? = nil, binding: String = "none", held: [String] = []
    ) throws -> RunningProgram {
        guard let ranks else {
            return try RunningProgram(Self.program, arguments, environment: environment, folder: folder)
        }
        let launcher = try XCTUnwrap(
            (environment["PATH"] ?? "").split(separator: ":").map { "\($0)/mpirun" }
                .first { FileManager.default.isExecutableFile(atPath: $0) }, "no mpirun on PATH")
        let options = ["-n", "\(ranks)", "--oversubscribe", "--bind-to", binding, Self.program.path]
        return try RunningProgram(
            URL(fileURLWithPath: "/usr/bin/env"), held + [launcher] + options + arguments, environment: environment,
            folder: folder)
    }

    /// Runs the program to its end.
    func run(_ arguments: [String], mpi ranks: Int? = nil, line: UInt = #line) throws -> Ending {
        try start(arguments, mpi: ranks).end(within: Self.patience, line: line)
    }

    /// Runs the program with streams as a shell redirects them.
    func run(_ arguments: [String], redirected: String, line: UInt = #line) throws -> Ending {
        try RunningProgram(
            URL(fileURLWithPath: "/bin/sh"), ["-c", "exec \"$@\" \(redirected)", "sh", Self.program.path] + arguments,
            environment: environment, folder: folder
        ).end(within: Self.patience, line: line)
    }

    /// Runs it and expects success, and silence on standard error. Returns what it printed.
    @discardableResult
    func succeed(_ arguments: [String], mpi ranks: Int? = nil, line: UInt = #line) throws -> String {
        let ending = try run(arguments, mpi: ranks, line: line)
        XCTAssertEqual(ending.status, 0, "\(arguments): \(ending.errors)", line: line)
        XCTAssertEqual(ending.errors, "", "\(arguments)", line: line)
        return ending.output
    }

    /// Expects exit status 2 and one line that holds all of the texts.
    func assertRefused(_ arguments: [String], _ texts: [String], line: UInt = #line) throws {
        let ending = try run(arguments, line: line)
        XCTAssertEqual(ending.status, 2, "\(arguments): \(ending.errors)", line: line)
        XCTAssertEqual(ending.errorLines.count, 1, "\(arguments): \(ending.errors)", line: line)
        XCTAssertTrue(ending.errors.hasPrefix("dim-dist: "), ending.errors, line: line)
        XCTAssertTrue(ending.errors.hasSuffix("\n"), ending.errors, line: line)
        for text in texts {
            XCTAssertTrue(ending.errors.contains(text), "no \"\(text)\" in: \(ending.errors)", line: line)
        }
    }

    /// The files of a .npz archive without their headers, by the names of the arrays.
    func arrays(of archive: String) throws -> [String: Data] {
        let unpacked = archive + ".unpacked"
        let python = try RunningProgram(
            URL(fileURLWithPath: "/usr/bin/env"), ["python3", "-m", "zipfile", "-e", archive, unpacked],
            environment: ProcessInfo.processInfo.environment, folder: folder)
        let ending = try python.end(within: Self.patience)
        XCTAssertEqual(ending.status, 0, ending.errors)
        var result: [String: Data] = [:]
        for name in try FileManager.default.contentsOfDirectory(atPath: unpacked) {
            let file = try Data(contentsOf: URL(fileURLWithPath: "\(unpacked)/\(name)"))
            XCTAssertTrue(name.hasSuffix(".npy") && file.starts(with: Data([0x93]) + Data("NUMPY".utf8)), name)
            let header = Int(file[8]) + 256 * Int(file[9])
            result[String(name.dropLast(4))] = file.dropFirst(10 + header)
        }
        return result
    }

    /// The numbers that an array's bytes stand for.
    func numbers<Number: FixedWidthInteger>(_ bytes: Data?, as type: Number.Type) throws -> [Int] {
        let bytes = try XCTUnwrap(bytes)
        let size = MemoryLayout<Number>.size
        return stride(from: 0, to: bytes.count, by: size).map { start in
            let word = bytes.dropFirst(start).prefix(size).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            return Int(Number(truncatingIfNeeded: word))
        }
    }

    /// Writes a `.npy` file of elements that NumPy spells so.
    func writeArray<Value: BitwiseCopyable>(
        _ name: String, _ descriptor: String, _ shape: [Int], _ values: [Value]
    ) throws {
        let axes = shape.map { "\($0)," }.joined(separator: " ")
        var header = "{'descr': '\(descriptor)', 'fortran_order': False, 'shape': (\(axes)), }"
        header += String(repeating: " ", count: 117 - header.utf8.count) + "\n"
        let opening = [0x93] + Array("NUMPY".utf8) + [1, 0, 118, 0] + Array(header.utf8)
        let file = URL(fileURLWithPath: path(name))
        try FileManager.default.createDirectory(
            at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(opening + values.withUnsafeBytes { Array($0) }).write(to: file)
    }

    // MARK: - Runs

    /// `train` of a small model on data in `data`, into the folder `output`.
    func trainArguments(_ output: String, steps: Int, _ more: [String] = [], data: String = "data") -> [String] {
        ["train", "--data", path(data), "--output", path(output), "--steps", "\(steps)", "--batch", "24"]
            + ["--set", "critic.units=16", "--set", "optimiser.warmupSteps=0"] + more
    }

    static func threads(_ ranks: Int) -> [String] { ["--transport", "threads", "--ranks", "\(ranks)"] }

    /// The lines of a run's metrics.
    func metrics(_ run: String) throws -> [[String: Any]] { try jsonLines(path(run) + "/metrics.jsonl") }

    /// The lines of a file, each of which has to be a JSON object.
    func jsonLines(_ file: String) throws -> [[String: Any]] {
        try String(contentsOfFile: file, encoding: .utf8).split(separator: "\n").map {
            try XCTUnwrap(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
        }
    }

    func losses(_ run: String) throws -> [Double] { try metrics(run).compactMap { $0["loss"] as? Double } }

    /// Names of a run's checkpoints.
    func checkpoints(_ run: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: path(run) + "/checkpoints").sorted()
    }

    /// Waits until a run has noted this many steps.
    func waitForSteps(_ count: Int, of run: String, line: UInt = #line) throws {
        let deadline = Date() + Self.patience
        let file = path(run) + "/metrics.jsonl"
        while Date() < deadline {
            let lines = FileManager.default.contents(atPath: file)?.count { $0 == UInt8(ascii: "\n") } ?? 0
            if lines >= count { return }
            usleep(5000)
        }
        XCTFail("no \(count) steps in \(file)", line: line)
    }
}
