import Collectives
import Foundation
import Synchronization

/// Ends a job that stands still, and reports which ranks wait for which.
///
/// A thread on each rank watches that rank. When a collective call, or the work between two calls, has taken half the
/// timeout, it writes a report into a folder of the run directory. When a call has taken the whole timeout, the lowest
/// rank that has waited so long reads the others' reports and prints the result. Then each waiting rank ends its
/// process, so that the launcher ends the job. The ranks exchange no messages, because these may be what stands still.
/// A rank without a report doesn't run, or is cut off.
final class Watchdog: Sendable {
    /// The report that a rank writes.
    struct Report: Codable, Equatable {
        let rank: Int
        let step: Int
        let calls: Int
        /// The collective call that it waits in; nil while it computes.
        let call: String?
        let seconds: Double
    }

    private let activity: Activity
    private let world: (rank: Int, hosts: [String])
    private let folder: String
    private let timeout: Double
    private let end: @Sendable (String?) -> Void
    private let isOver = Mutex(false)

    /// Seconds between looks. Time is counted in looks, so that a job that was suspended as a whole has not waited.
    private static let pause = 0.25

    /// Starts watching.
    /// - Parameters:
    ///   - hosts: of each rank.
    ///   - folder: for the reports of this start of the job; all ranks should see it.
    ///   - timeout: seconds.
    ///   - end: called once on a rank that has waited that long, with the message, or nil where another rank reports
    ///     it.
    init(
        _ activity: Activity, rank: Int, hosts: [String], folder: String, timeout: Double,
        end: @escaping @Sendable (String?) -> Void
    ) {
        self.activity = activity
        world = (rank, hosts)
        self.folder = folder
        self.timeout = timeout
        self.end = end
        let thread = Thread { [self] in watch() }
        thread.name = "watchdog"
        thread.start()
    }

    func stop() { isOver.withLock { $0 = true } }

    private func watch() {
        var last = activity.now
        var looks = 0
        var isReported = false
        while !isOver.withLock({ $0 }) {
            Thread.sleep(forTimeInterval: Self.pause)
            let state = activity.now
            guard state.calls == last.calls && state.call == last.call else {
                if isReported { try? FileManager.default.removeItem(atPath: path(world.rank)) }
                (last, looks, isReported) = (state, 0, false)
                continue
            }
            looks += 1
            let seconds = Double(looks) * Self.pause
            if seconds >= timeout / 2 && !isReported {
                report(state, seconds)
                isReported = true
            }
            if seconds >= timeout && state.call != nil {
                report(state, seconds)
                // Ranks that entered the call a little later write their last report too.
                Thread.sleep(forTimeInterval: min(2, timeout / 4))
                guard activity.now.calls == state.calls && activity.now.call != nil else { continue }
                return tell(own(state, seconds))
            }
        }
    }

    private func path(_ rank: Int) -> String { "\(folder)/rank-\(rank).json" }

    private func own(_ state: Activity.State, _ seconds: Double) -> Report {
        Report(rank: world.rank, step: state.step, calls: state.calls, call: state.call, seconds: seconds)
    }

    /// Seconds to wait for the run directory, because its disk may be what stands still.
    private static let patience = 5.0

    private func report(_ state: Activity.State, _ seconds: Double) {
        let work = BackgroundWork("report") { [self, report = own(state, seconds)] in
            try? FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            try? JSONEncoder().encode(report).write(to: URL(fileURLWithPath: path(world.rank)), options: .atomic)
        }
        work.wait(atMost: Self.patience)
    }

    private func tell(_ own: Report) {
        let reading = BackgroundWork("reports") { [self] in
            world.hosts.indices.map { rank in
                FileManager.default.contents(atPath: path(rank)).flatMap {
                    try? JSONDecoder().decodeForeign(Report.self, from: $0)
                }
            }
        }
        var reports = [Report?](repeating: nil, count: world.hosts.count)
        if reading.wait(atMost: Self.patience), let read = try? reading.wait() { reports = read }
        let unwritten = reports[own.rank] == nil ? folder : nil
        reports[own.rank] = own
        // A rank that entered its call later hasn't waited long enough to report.
        let speaker = reports.firstIndex { $0?.call != nil && $0!.seconds >= timeout }
        guard speaker == own.rank else { return end(nil) }
        end(Self.description(own, reports: reports, hosts: world.hosts, unwritten: unwritten))
    }

    /// One line: which ranks wait, in which call, for how long, and what is known of the others. A waiting rank isn't
    /// counted as missing when others wait in another call: the result of a sum can reach one rank before another.
    /// - Parameter unwritten: the folder, if reports can't be written there, so that nothing is known of the others.
    static func description(
        _ own: Report, reports: [Report?], hosts: [String], unwritten: String? = nil
    ) -> String {
        var waiting: [(call: String, ranks: [Int])] = []
        var missing: [String] = []
        for (rank, report) in reports.enumerated() {
            guard let report else {
                missing.append("rank \(rank) on \(hosts[rank]) (no report: stopped, dead or cut off)")
                continue
            }
            guard let call = report.call.map({ "collective \(report.calls), \($0)" }) else {
                let doing = "computing after call \(report.calls), for \(Int(report.seconds)) s"
                missing.append("rank \(rank) on \(hosts[rank]) (\(doing))")
                continue
            }
            if let index = waiting.firstIndex(where: { $0.call == call }) {
                waiting[index].ranks.append(rank)
            } else {
                waiting.append((call, [rank]))
            }
        }
        let waits = waiting.map { call, ranks in
            ranks.count == 1 ? "rank \(ranks[0]) waits in \(call)" : "ranks \(Self.ranges(ranks)) wait in \(call)"
        }
        let others =
            if let unwritten {
                "what the others do isn't known, because \(unwritten) can't be written"
            } else if missing.isEmpty {
                "all ranks wait, so the network between them has failed"
            } else {
                "not there: \(missing.prefix(8).joined(separator: ", "))"
                    + (missing.count > 8 ? " and \(missing.count - 8) more" : "")
            }
        return "step \(own.step + 1) stands still: \(waits.joined(separator: ", ")), "
            + "for \(Int(own.seconds)) s (--stall-timeout); \(others)"
    }

    /// `0-3, 5`.
    private static func ranges(_ numbers: [Int]) -> String {
        var parts: [ClosedRange<Int>] = []
        for number in numbers {
            if let last = parts.last, last.upperBound == number - 1 {
                parts[parts.count - 1] = last.lowerBound...number
            } else {
                parts.append(number...number)
            }
        }
        return parts.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }
            .joined(separator: ", ")
    }
}
