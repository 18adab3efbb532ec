import Foundation
import MPI

/// The properties of this machine that decide how ranks run here.
struct Machine {
    /// Numbers of the hardware threads that this process may use. A rank that is bound to a core has only that core's.
    let allowed: Set<Int>
    /// Those that its launcher may use, and so all ranks that it starts here. Without a launcher: this process's own.
    let launchers: Set<Int>
    /// The container's limit in cores, rounded up; nil without a limit.
    let quota: Int?
    /// Bytes free in /dev/shm; nil without one.
    let sharedMemory: Int?
    /// Whether ranks may read each other's memory (CMA). They may with CAP_SYS_PTRACE, or where neither a seccomp
    /// filter nor Yama forbids it.
    let mayReadOthersMemory: Bool
    let processorFlags: Set<String>
    /// The kernel's name of this process's user namespace.
    let userNamespace: String

    /// Cores that ranks may use here; hardware threads of one core count once, as in Open MPI's slots.
    var cores: Int {
        let siblings = launchers.map { thread in
            Self.lines(of: "/sys/devices/system/cpu/cpu\(thread)/topology/thread_siblings_list").first ?? "\(thread)"
        }
        return min(max(Set(siblings).count, 1), quota ?? .max)
    }

    /// Hardware threads that ranks here can use at the same time.
    var hardwareThreads: Int { min(launchers.count, quota ?? .max) }

    static var current: Machine {
        func field(_ name: String, of process: String = "self") -> String {
            let line = lines(of: "/proc/\(process)/status").first { $0.hasPrefix(name + ":") } ?? ""
            return line.dropFirst(name.count + 1).trimmingCharacters(in: .whitespaces)
        }
        let allowed = numbers(field("Cpus_allowed_list"))
        let isStarted = Launcher.isPresent(in: ProcessInfo.processInfo.environment)
        let capabilities = UInt64(field("CapEff"), radix: 16) ?? 0
        let scope = Int(lines(of: "/proc/sys/kernel/yama/ptrace_scope").first ?? "0") ?? 0
        let isTracer = capabilities & 1 << 19 != 0
        let shared = try? FileManager.default.attributesOfFileSystem(forPath: "/dev/shm")[.systemFreeSize] as? Int
        let flags = lines(of: "/proc/cpuinfo").first { $0.hasPrefix("flags") } ?? ""
        // Microseconds in each period, then the period. The first is "max" without a limit.
        let limit = (lines(of: "/sys/fs/cgroup/cpu.max").first ?? "").split(separator: " ").compactMap { Int($0) }
        return Machine(
            allowed: allowed,
            launchers: isStarted ? allowed.union(numbers(field("Cpus_allowed_list", of: "\(getppid())"))) : allowed,
            quota: limit.count == 2 && limit[1] > 0 ? max((limit[0] + limit[1] - 1) / limit[1], 1) : nil,
            sharedMemory: shared,
            mayReadOthersMemory: isTracer || (field("Seccomp") == "0" && scope == 0),
            processorFlags: Set(flags.split(separator: " ").map(String.init)),
            userNamespace: (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/ns/user")) ?? "")
    }

    /// - Parameter list: hardware threads as the kernel writes them, such as `0-3,8`.
    static func numbers(_ list: String) -> Set<Int> {
        Set(
            list.split(separator: ",").flatMap { part -> [Int] in
                let ends = part.split(separator: "-").compactMap { Int($0) }
                guard let first = ends.first, let last = ends.last, first <= last else { return [] }
                return Array(first...last)
            })
    }

    private static func lines(of path: String) -> [String] {
        ((try? String(contentsOfFile: path, encoding: .utf8)) ?? "").split(separator: "\n").map(String.init)
    }
}
