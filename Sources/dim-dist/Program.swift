import Collectives
import Evaluation
import Foundation
import MPI
import Methods
import Training

/// A command: its options, and the work of each rank. The body is collective.
struct Command {
    let name: String
    let summary: String
    let usage: String
    let options: [Option]
    /// Text that `--help` prints after the options.
    var notes: String?
    /// Whether `--method NAME --help` lists the settings of that method.
    var helpsWithMethod = false
    let body: @Sendable (Arguments, any Ranks) throws -> ExitStatus
}

/// The command line. It picks the command and the world of ranks, and turns any error into one line and an exit status.
struct Program {
    let arguments: [String]

    static let commands: [Command] = [
        train, pack, eval, embed, estimate, objective, bench, benchLoss, benchViews, benchProject, doctor,
    ]

    private static let worldOptions = [
        Option("transport", "mpi|threads|none", "how ranks communicate; by default mpi under mpirun, otherwise none"),
        Option("ranks", "N", "number of ranks, for --transport threads"),
        Option("help", "print this text"),
    ]

    func run() -> Int32 {
        let environment = ProcessInfo.processInfo.environment
        let speaks = Launcher.rank(in: environment) == 0
        do {
            guard let name = arguments.first, name != "--help", name != "help" else {
                if speaks { try Self.tell(Self.help) }
                return ExitStatus.success.rawValue
            }
            // `bench --help` is the help of the first `bench …`.
            let isHelp = arguments.count == 2 && arguments[1] == "--help"
            let named = Self.commands.first { isHelp ? $0.words[0] == name : arguments.starts(with: $0.words) }
            guard let command = named else {
                let distances = Self.commands.map { (name.distance(to: $0.words.first ?? ""), $0.name) }
                let least = distances.map(\.0).min()
                let nearest = distances.filter { $0.0 == least }.map(\.1).joined(separator: " or ")
                throw InputError("unknown command \(name): did you mean \(nearest)? See dim-dist --help")
            }
            if arguments.contains("--help") {
                let name = command.helpsWithMethod ? methodTyped : nil
                let settings = try name.map { try MethodKind(named: $0, "--method").type.settingsHelp }
                if speaks { try Self.tell(settings ?? command.help(Self.worldOptions)) }
                return ExitStatus.success.rawValue
            }
            let options = command.options + Self.worldOptions
            let parsed = try Arguments(Array(arguments.dropFirst(command.words.count)), options: options)
            return try World(parsed, environment: environment).run(command, parsed).rawValue
        } catch {
            // This error came before the ranks are connected. It is the same on all of them, so rank 0 alone reports it
            // and exits with its status. Open MPI 5 ends all ranks when one has failed, perhaps before rank 0 has
            // reported it.
            guard speaks else { return ExitStatus.success.rawValue }
            Self.complain("\(error)")
            return error.exitStatus.rawValue
        }
    }

    /// Confirms to launch/run that all went well, where it asks for that. It doesn't show the line.
    func confirm() {
        let environment = ProcessInfo.processInfo.environment
        if environment["DIM_DIST_CONFIRM"] == "1" && Launcher.rank(in: environment) == 0 { Self.complain("confirmed") }
    }

    /// The value of `--method`, where it is given.
    private var methodTyped: String? {
        if let index = arguments.firstIndex(of: "--method") {
            return arguments[(index + 1)...].first { $0 != "--help" } ?? ""
        }
        return arguments.first { $0.hasPrefix("--method=") }.map { String($0.dropFirst("--method=".count)) }
    }

    static func complain(_ message: String) {
        // Standard error may be closed.
        try? FileHandle.standardError.write(contentsOf: Data("dim-dist: \(message)\n".utf8))
    }

    private static var help: String {
        let width = commands.map(\.name.count).max() ?? 0
        let lines = commands.map {
            "  \($0.name.padding(toLength: width + 2, withPad: " ", startingAt: 0))\($0.summary)"
        }
        return """
            dim-dist learns representations without labels by maximising mutual information, on CPUs, over MPI.

              dim-dist COMMAND …                       one rank
              mpirun -np N dim-dist COMMAND …          N ranks
              dim-dist COMMAND --transport threads --ranks N …   N ranks in one process, for a debugger

            \(lines.joined(separator: "\n"))

            dim-dist COMMAND --help lists the options.
            Exit status: 0 done, 2 bad input or usage, 75 interrupted, can be resumed, 1 anything else.
            """
    }
}

extension Program {
    static let precisionOption = Option(
        "precision", Precision.allCases.map(\.rawValue).joined(separator: "|"),
        "operands of products and convolutions; float32 by default", setting: "precision")
    static let threadsOption = Option("threads", "T", "threads of each rank; OMP_NUM_THREADS by default")

    /// A value as JSON, with sorted keys.
    static func json(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }

    /// The layers of each method, for `--help`.
    static var layersHelp: String {
        let lists = MethodKind.allCases.map { kind in "\(kind.rawValue): \(kind.type.layerNames)" }
        return lists.joined(separator: "; ") + "; the first by default; fc+code joins two"
    }
}

extension Method {
    static var layerNames: String { LayerJoin<Layer>.names }

    /// The layer where `--layer` isn't given.
    static var firstLayer: String { Layer.allCases.first?.rawValue ?? "" }
}

extension Command {
    /// The words of the name, as typed.
    fileprivate var words: [String] { name.split(separator: " ").map(String.init) }

    fileprivate func help(_ worldOptions: [Option]) -> String {
        let rows = (options + worldOptions).map { ("--" + $0.name + ($0.value.map { " " + $0 } ?? ""), $0.help) }
        let width = rows.map(\.0.count).max() ?? 0
        let lines = rows.map { "  \($0.0.padding(toLength: width + 2, withPad: " ", startingAt: 0))\($0.1)" }
        return "\(summary)\n\n  dim-dist \(name) \(usage)\n\n\(lines.joined(separator: "\n"))"
            + (notes.map { "\n\n" + $0 } ?? "")
    }
}

/// The kind of world that ranks are in.
private enum World {
    case single
    case threads(Int)
    case mpi

    init(_ arguments: Arguments, environment: [String: String]) throws {
        let ranks = try arguments.number("ranks", in: 1...1024, default: 1)
        switch arguments.text("transport") {
        case "threads": self = .threads(ranks)
        case "mpi": self = .mpi
        case "none": self = .single
        case nil: self = Launcher.isPresent(in: environment) ? .mpi : .single
        case let other?: throw InputError("--transport is \(other): it must be mpi, threads or none")
        }
        var takesRanks = false
        switch self {
        case .mpi: break  // MPI knows the size of the world
        case .single: try Launcher.checkWorldSize(1, environment: environment)
        case .threads:
            try Launcher.checkWorldSize(1, environment: environment)
            takesRanks = true
        }
        guard takesRanks || ranks == 1 else {
            throw InputError("--ranks \(ranks) is only for --transport threads: over MPI, use mpirun -np \(ranks)")
        }
    }

    func run(_ command: Command, _ arguments: Arguments) throws -> ExitStatus {
        switch self {
        case .single: return serve(SingleRank(), command, arguments)
        case .mpi:
            do {
                let ranks = try MPIRanks()
                let status = serve(ranks, command, arguments)
                try ranks.finalize()
                return status
            } catch let error as MPIError {  // perhaps on this rank alone, so each rank reports its own
                let rank = Launcher.rank(in: ProcessInfo.processInfo.environment)
                Program.complain("[rank \(rank) on \(ProcessInfo.processInfo.hostName)] \(error)")
                return .failure
            }
        case .threads(let count):
            let statuses = try ThreadRank.run(count) { ranks in serve(ranks, command, arguments) }
            return statuses.first { $0 != .success } ?? .success
        }
    }
}

/// Runs a command on one rank. After a failure that all ranks know of, they end in order. Any other failure ends the
/// job at once.
private func serve(_ ranks: any Ranks, _ command: Command, _ arguments: Arguments) -> ExitStatus {
    waitForDebugger(ranks)
    do {
        return try command.body(arguments, ranks)
    } catch let error as AgreedError {
        if ranks.isFirst { Program.complain(error.description) }
        return error.status
    } catch {
        Program.complain((ranks.worldSize > 1 ? ranks.label + " " : "") + "\(error)")
        let status = error.exitStatus
        if ranks.worldSize > 1 { ranks.abort(status: status.rawValue) }
        return status
    }
}

/// With `DIM_DIST_WAIT_FOR_DEBUGGER` set, prints this rank's process number and waits until a debugger is attached.
private func waitForDebugger(_ ranks: any Ranks) {
    guard ProcessInfo.processInfo.environment["DIM_DIST_WAIT_FOR_DEBUGGER"] == "1" else { return }
    Program.complain("\(ranks.label) process \(getpid()) waits for a debugger: gdb -p \(getpid())")
    for _ in 0..<6000 {
        let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        let tracer = status.split(separator: "\n").first { $0.hasPrefix("TracerPid:") }
        if let tracer, !tracer.hasSuffix("\t0") { return }
        usleep(100_000)
    }
}
