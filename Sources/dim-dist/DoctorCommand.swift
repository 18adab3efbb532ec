import Collectives
import Foundation
import MPI
import Tensors
import Training

extension Program {
    static let doctor = Command(
        name: "doctor", summary: "Check this machine. Each line says ok, or what to type.", usage: "",
        options: []
    ) { (_: Arguments, ranks: any Ranks) throws -> ExitStatus in
        let environment = ProcessInfo.processInfo.environment
        let device = try ranks.agree { try Device(threads: RunSettings.threads(asked: 0, environment: environment)) }
        let machine = Machine.current
        let hosts = Set(try ranks.gatherText(ranks.host))
        let affinities = try ranks.gather(machine.allowed.count)
        let users = try ranks.gatherText("\(ranks.host) \(machine.userNamespace)")
        let speeds = try ranks.gather(Int(try device.measureProducts()))
        let rounded = try ranks.agree { try Device(threads: device.threads, precision: .bfloat16) }
        let roundedSpeeds = try ranks.gather(Int(try rounded.measureProducts()))
        let findings = [
            Diagnosis.mpi(environment, library: MPIRanks.library, isRoot: geteuid() == 0),
            Diagnosis.world(ranks.worldSize, hosts: hosts.count, machine: machine, environment: environment),
            Diagnosis.binding(affinities, threads: device.threads),
            Diagnosis.sharedMemory(bytes: machine.sharedMemory),
            Diagnosis.singleCopy(
                environment, library: MPIRanks.library, isAllowed: machine.mayReadOthersMemory,
                areOneUser: Set(users).count == hosts.count),
            Diagnosis.blas(core: linearAlgebraKernel(), flags: machine.processorFlags, environment: environment),
            Diagnosis.products(speeds),
            Diagnosis.rounded(roundedSpeeds, flags: machine.processorFlags),
        ]
        try tell(by: ranks) { findings.map(\.description).joined(separator: "\n") }
        return ranks.isFirst && findings.contains { !$0.isOK } ? .failure : .success
    }
}

/// One line of the doctor's report.
struct Diagnosis: CustomStringConvertible {
    let subject: String
    let finding: String
    /// The command to type; nil when all is well.
    let remedy: String?

    var isOK: Bool { remedy == nil }

    var description: String {
        let name = subject.padding(toLength: 14, withPad: " ", startingAt: 0)
        return name + (remedy.map { "\(finding): \($0)" } ?? "ok, \(finding)")
    }

    /// - Parameter library: as `MPIRanks.library`.
    static func mpi(_ environment: [String: String], library: String, isRoot: Bool) -> Diagnosis {
        let path = (environment["PATH"] ?? "").split(separator: ":").map { "\($0)/mpirun" }
            .first { FileManager.default.isExecutableFile(atPath: $0) }
        guard let path else {
            return Diagnosis(subject: "mpi", finding: "no mpirun on PATH", remedy: "apt-get install openmpi-bin")
        }
        let mayRun = ["OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"].allSatisfy { environment[$0] == "1" }
        return Diagnosis(
            subject: "mpi",
            finding: isRoot && !mayRun ? "\(path) refuses to run as root" : "\(path), \(library)",
            remedy: isRoot && !mayRun
                ? "export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1" : nil)
    }

    static func world(
        _ size: Int, hosts: Int, machine: Machine, environment: [String: String]
    ) -> Diagnosis {
        let text =
            "\(size) rank\(size == 1 ? "" : "s") on \(hosts) host\(hosts == 1 ? "" : "s"), \(machine.cores) cores here"
        if hosts == 1 && size > machine.cores {
            return Diagnosis(
                subject: "slots", finding: text, remedy: "more ranks than cores: use mpirun -np \(machine.cores)")
        }
        if size == 1 && machine.cores > 1 {
            return Diagnosis(
                subject: "slots", finding: text + " (mpirun -np \(machine.cores) uses all of them)", remedy: nil)
        }
        return Diagnosis(subject: "slots", finding: text, remedy: nil)
    }

    static func binding(_ allowed: [Int], threads: Int) -> Diagnosis {
        let least = allowed.min() ?? 0
        let text =
            "each rank may use \(least) hardware thread\(least == 1 ? "" : "s") and has "
            + "\(threads) thread\(threads == 1 ? "" : "s")"
        return Diagnosis(
            subject: "binding", finding: text,
            remedy: least < threads ? "mpirun --map-by slot:PE=\(threads) --bind-to core" : nil)
    }

    static func sharedMemory(bytes: Int?) -> Diagnosis {
        guard let bytes else {
            return Diagnosis(
                subject: "shared memory", finding: "/dev/shm is missing", remedy: "mount -t tmpfs tmpfs /dev/shm")
        }
        let mebibytes = bytes >> 20
        return Diagnosis(
            subject: "shared memory", finding: "\(mebibytes) MiB free in /dev/shm",
            remedy: mebibytes < 64 ? "mount -o remount,size=1G /dev/shm (Docker: --shm-size=1g)" : nil)
    }

    /// - Parameter areOneUser: whether the ranks of each host are in one user namespace. Ranks in different ones can't
    ///   read each other's memory.
    static func singleCopy(
        _ environment: [String: String], library: String, isAllowed: Bool, areOneUser: Bool
    ) -> Diagnosis {
        // Open MPI 5 has another name for this parameter.
        let (name, none) =
            library.hasPrefix("Open MPI v4")
            ? ("OMPI_MCA_btl_vader_single_copy_mechanism", "none") : ("OMPI_MCA_smsc", "^cma")
        let setting = environment[name] ?? "cma"
        if !areOneUser && setting != none {
            return Diagnosis(
                subject: "single copy",
                finding: "ranks of one host are in several user namespaces (containers), so messages are copied twice",
                remedy: "start the ranks of a host in one container")
        }
        return Diagnosis(
            subject: "single copy",
            finding: "mechanism \(setting)"
                + (isAllowed ? "" : ", and ranks may not read each other's memory (seccomp or ptrace_scope)"),
            remedy: isAllowed || setting == none ? nil : "export \(name)=\(none)")
    }

    /// OpenBLAS picks its kernel by the processor's model number. It may take a new processor for an old one.
    static func blas(core: String, flags: Set<String>, environment: [String: String]) -> Diagnosis {
        let chosen = environment["OPENBLAS_CORETYPE"] != nil
        let wide: Set<String> = ["SkylakeX", "Cooperlake", "Sapphirerapids"]
        let medium: Set<String> = ["Haswell", "Zen"]
        let best = flags.contains("avx512f") ? "SkylakeX" : flags.contains("avx2") ? "Haswell" : nil
        let fits = best == nil || wide.contains(core) || medium.contains(core) && (chosen || best == "Haswell")
        return Diagnosis(
            subject: "blas kernel",
            finding: fits
                ? core + (chosen ? ", by OPENBLAS_CORETYPE" : "") : "OpenBLAS takes this processor for \(core)",
            remedy: fits ? nil : "export OPENBLAS_CORETYPE=\(best ?? "")")
    }

    static func products(_ speeds: [Int]) -> Diagnosis {
        let (least, most) = (speeds.min() ?? 0, speeds.max() ?? 0)
        return Diagnosis(
            subject: "products", finding: "oneDNN reaches \(least) to \(most) GFLOP/s a rank",
            remedy: 2 * least < most ? "some ranks seem to share a core: check slots and --bind-to core" : nil)
    }

    /// Products of bfloat16, and the instructions for them.
    static func rounded(_ speeds: [Int], flags: Set<String>) -> Diagnosis {
        let (least, most) = (speeds.min() ?? 0, speeds.max() ?? 0)
        let instructions = ["amx_bf16", "avx512_bf16"].filter(flags.contains).joined(separator: ", ")
        return Diagnosis(
            subject: "bfloat16",
            finding:
                "\(instructions.isEmpty ? "no instructions for it here" : instructions), \(least) to \(most) GFLOP/s a rank"
                + (Precision.bfloat16.isNative ? ": train with --precision bfloat16" : ": float32 is faster"),
            remedy: nil)
    }
}
