import Collectives
import Foundation
import Tensors
import Training

extension Program {
    /// The device that a rank computes with. Warns where threads share cores, and where only a part of OMP_NUM_THREADS
    /// is used. Collective.
    /// - Parameter threads: 0 for the number in OMP_NUM_THREADS, or else 1.
    static func device(
        threads: Int, precision: Precision = .float32, ranks: any Ranks
    ) throws -> Device {
        let environment = ProcessInfo.processInfo.environment
        let device = try ranks.agree {
            try Device(
                threads: RunSettings.threads(asked: threads, environment: environment), precision: precision)
        }
        let lacking = try ranks.sum([precision.isNative ? 0 : 1])[0]
        if lacking > 0, ranks.isFirst {
            complain(
                "\(precision.rawValue): the processors of \(lacking) of \(ranks.worldSize) ranks have no instructions for "
                    + "it, so they round operands and multiply in float32: slower than float32, with like results")
        }
        if threads == 0, ranks.isFirst, let text = environment["OMP_NUM_THREADS"], text.contains(",") {
            complain(
                "OMP_NUM_THREADS is \(text), a list for nested threads: its first number is used, "
                    + "\(device.threads) a rank")
        }
        guard !(ranks is ThreadRank) else { return device }  // for debugging; may be slow
        let machine = Machine.current
        let own = machine.allowed.map(String.init).joined(separator: ",")
        let prefix = ranks.host + " "
        let neighbours = try ranks.gatherText(prefix + own).filter { $0.hasPrefix(prefix) }
        device.hasSpareCore = hasSpareCore(
            ranks: neighbours.count, threads: device.threads, cores: machine.hardwareThreads,
            allowed: machine.allowed.count, sharers: neighbours.count { $0 == prefix + own })
        let together = neighbours.reduce(into: Set<Int>()) { all, text in
            all.formUnion(Machine.numbers(String(text.dropFirst(prefix.count))))
        }
        let warning = crowding(
            ranks: neighbours.count, threads: device.threads, cores: machine.hardwareThreads,
            allowed: machine.allowed.count, together: together.count)
        let warnings = try ranks.gatherText(warning.map { "\(ranks.label) \($0)" } ?? "").filter { !$0.isEmpty }
        if ranks.isFirst, let first = warnings.first {
            complain(first + (warnings.count > 1 ? " (and \(warnings.count - 1) more ranks)" : ""))
        }
        return device
    }

    /// Whether a rank may use a core that no rank's kernels use.
    ///
    /// - Parameters:
    ///   - ranks: on this machine.
    ///   - cores: those that ranks may use on this machine.
    ///   - allowed: cores that this rank may run on.
    ///   - sharers: ranks that may run on the same cores, this one included.
    static func hasSpareCore(ranks: Int, threads: Int, cores: Int, allowed: Int, sharers: Int) -> Bool {
        cores > ranks * threads && allowed > sharers * threads
    }

    /// A warning about too many ranks or threads on a machine; nil where each thread has a core.
    ///
    /// - Parameters:
    ///   - ranks: on this machine.
    ///   - cores: those that ranks may use on this machine.
    ///   - allowed: cores that this rank may run on.
    ///   - together: cores that any of those ranks may run on.
    static func crowding(ranks: Int, threads: Int, cores: Int, allowed: Int, together: Int) -> String? {
        if ranks * threads > cores {
            return "\(ranks) ranks of \(threads) threads share \(cores) cores, which is slower than \(cores) threads "
                + "in total: start fewer ranks, or lower --set threads (OMP_NUM_THREADS)"
        }
        if threads > allowed {
            return "\(threads) threads are bound to \(allowed) of \(cores) cores: use mpirun --map-by "
                + "slot:PE=\(threads), for a core for each thread, or --bind-to none"
        }
        if ranks * threads > together {
            return "\(ranks) ranks of \(threads) threads are bound to \(together) of \(cores) cores: use mpirun "
                + "--bind-to core, which gives each rank its own"
        }
        return nil
    }
}
