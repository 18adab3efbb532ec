import Collectives
import Foundation
import MPI
import Tensors

extension Program {
    static let doctor = Command(
        name: "doctor", summary: "Check this machine: each line is ok, or says what to type.", usage: "",
        options: []
    ) { (_: Arguments, ranks: any Ranks) throws -> ExitStatus in
        let environment = ProcessInfo.processInfo.environment
        let device = try Device()
        let machine = Machine.current
        let hosts = Set(try ranks.gatherText(ranks.host))
        let affinities = try ranks.gather(machine.allowedThreads)
        let speeds = try ranks.gather(Int(try device.measureProducts()))
        guard ranks.isFirst else { return .success }
        let findings = [
            Diagnosis.mpi(environment, library: MPIRanks.library, isRoot: geteuid() == 0),
            Diagnosis.world(ranks.worldSize, hosts: hosts.count, machine: machine, environment: environment),
            Diagnosis.binding(affinities, threads: device.threads),
            Diagnosis.sharedMemory(bytes: machine.sharedMemory),
            Diagnosis.singleCopy(
                environment, library: MPIRanks.library, isAllowed: machine.mayReadOthersMemory),
            Diagnosis.blas(core: linearAlgebraKernel(), flags: machine.processorFlags, environment: environment),
            Diagnosis.products(speeds),
        ]
        for finding in findings { print(finding) }
        return findings.contains { !$0.isOK } ? .failure : .success
    }
}

/// One line of the doctor's report.
struct Diagnosis: CustomStringConvertible {
    let subject: String
    let finding: String
    /// What to type; nil when all is well.
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
                subject: "slots", finding: text, remedy: "more ranks than cores: mpirun -np \(machine.cores)")
        }
        if size == 1 && machine.cores > 1 {
            return Diagnosis(
                subject: "slots", finding: text + " (mpirun -np \(machine.cores) uses them all)", remedy: nil)
        }
        return Diagnosis(subject: "slots", finding: text, remedy: nil)
    }

    static func binding(_ allowed: [Int], threads: Int) -> Diagnosis {
        let least = allowed.min() ?? 0
        let text =
            "each rank may use \(least) hardware thread\(least == 1 ? "" : "s") and has \(threads) thread\(threads == 1 ? "" : "s")"
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

    static func singleCopy(_ environment: [String: String], library: String, isAllowed: Bool) -> Diagnosis {
        // Open MPI 5 has another name for it.
        let (name, none) =
            library.hasPrefix("Open MPI v4")
            ? ("OMPI_MCA_btl_vader_single_copy_mechanism", "none") : ("OMPI_MCA_smsc", "^cma")
        let setting = environment[name] ?? "cma"
        return Diagnosis(
            subject: "single copy",
            finding: "mechanism \(setting)"
                + (isAllowed ? "" : ", and ranks may not read each other's memory (seccomp or ptrace_scope)"),
            remedy: isAllowed || setting == none ? nil : "export \(name)=\(none)")
    }

    /// OpenBLAS picks its kernel by the processor's model number, and takes new ones for old ones.
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
            subject: "products", finding: "oneDNN makes \(least) to \(most) GFLOP/s a rank",
            remedy: 2 * least < most ? "a rank shares its core with another: check slots and --bind-to core" : nil)
    }
}

/// What this machine is.
struct Machine {
    /// Cores that this process may use; hardware threads of one core count once, as in Open MPI's slots.
    let cores: Int
    /// Hardware threads that this process may use.
    let allowedThreads: Int
    /// Bytes free in /dev/shm; nil without one.
    let sharedMemory: Int?
    /// Whether ranks may copy out of each other's memory (CMA): with CAP_SYS_PTRACE, or where neither a seccomp filter
    /// nor Yama stands in the way.
    let mayReadOthersMemory: Bool
    let processorFlags: Set<String>

    static var current: Machine {
        let status = lines(of: "/proc/self/status")
        func field(_ name: String) -> String {
            let line = status.first { $0.hasPrefix(name + ":") } ?? ""
            return line.dropFirst(name.count + 1).trimmingCharacters(in: .whitespaces)
        }
        let capabilities = UInt64(field("CapEff"), radix: 16) ?? 0
        let scope = Int(lines(of: "/proc/sys/kernel/yama/ptrace_scope").first ?? "0") ?? 0
        let isTracer = capabilities & 1 << 19 != 0
        let shared = try? FileManager.default.attributesOfFileSystem(forPath: "/dev/shm")[.systemFreeSize] as? Int
        let flags = lines(of: "/proc/cpuinfo").first { $0.hasPrefix("flags") } ?? ""
        return Machine(
            cores: physicalCores(field("Cpus_allowed_list")),
            allowedThreads: ProcessInfo.processInfo.activeProcessorCount, sharedMemory: shared,
            mayReadOthersMemory: isTracer || (field("Seccomp") == "0" && scope == 0),
            processorFlags: Set(flags.split(separator: " ").map(String.init)))
    }

    /// - Parameter list: hardware threads as the kernel writes them, such as `0-3,8`.
    private static func physicalCores(_ list: String) -> Int {
        let threads = list.split(separator: ",").flatMap { part -> [Int] in
            let ends = part.split(separator: "-").compactMap { Int($0) }
            guard let first = ends.first, let last = ends.last, first <= last else { return [] }
            return Array(first...last)
        }
        let siblings = threads.map { thread in
            lines(of: "/sys/devices/system/cpu/cpu\(thread)/topology/thread_siblings_list").first ?? "\(thread)"
        }
        return max(Set(siblings).count, 1)
    }

    private static func lines(of path: String) -> [String] {
        ((try? String(contentsOfFile: path, encoding: .utf8)) ?? "").split(separator: "\n").map(String.init)
    }
}
