import Collectives
import Foundation
import Tensors
import Training

extension Program {
    /// What a rank computes with. Says so where threads have to share cores, and where only a part of OMP_NUM_THREADS
    /// is obeyed. Collective.
    /// - Parameter threads: 0 for those that OMP_NUM_THREADS says, or 1.
    static func device(threads: Int, ranks: any Ranks) throws -> Device {
        let environment = ProcessInfo.processInfo.environment
        let device = try ranks.agree {
            try Device(threads: RunSettings.threads(asked: threads, environment: environment))
        }
        if threads == 0, ranks.isFirst, let text = environment["OMP_NUM_THREADS"], text.contains(",") {
            complain("OMP_NUM_THREADS is \(text), for nested threads: \(device.threads) a rank here")
        }
        guard !(ranks is ThreadRank) else { return device }  // for debugging, on any machine
        let machine = Machine.current
        let own = machine.allowed.map(String.init).joined(separator: ",")
        let place = ranks.host + " "
        let neighbours = try ranks.gatherText(place + own).filter { $0.hasPrefix(place) }
        let together = neighbours.reduce(into: Set<Int>()) { all, text in
            all.formUnion(Machine.numbers(String(text.dropFirst(place.count))))
        }
        let warning = crowding(
            ranks: neighbours.count, threads: device.threads, cores: machine.hardwareThreads,
            allowed: machine.allowed.count, together: together.count)
        let warnings = try ranks.gatherText(warning.map { "\(ranks.label) \($0)" } ?? "").filter { !$0.isEmpty }
        if ranks.isFirst, let first = warnings.first {
            complain(first + (warnings.count > 1 ? " (and \(warnings.count - 1) ranks more)" : ""))
        }
        return device
    }

    /// What is wrong with so many ranks of so many threads on a machine; nil where each thread has a core.
    ///
    /// - Parameters:
    ///   - ranks: on this machine.
    ///   - cores: that ranks may use on this machine.
    ///   - allowed: cores that this rank may run on.
    ///   - together: cores that any of those ranks may run on.
    static func crowding(ranks: Int, threads: Int, cores: Int, allowed: Int, together: Int) -> String? {
        if ranks * threads > cores {
            return "\(ranks) ranks of \(threads) threads share \(cores) cores: slower than \(cores) threads in all; "
                + "start fewer ranks, or lower --set threads (OMP_NUM_THREADS)"
        }
        if threads > allowed {
            return "\(threads) threads are bound to \(allowed) of \(cores) cores: mpirun --map-by slot:PE=\(threads) "
                + "gives a rank a core for each, or --bind-to none all"
        }
        if ranks * threads > together {
            return "\(ranks) ranks of \(threads) threads are bound to \(together) of \(cores) cores: "
                + "mpirun --bind-to core gives each its own"
        }
        return nil
    }
}
