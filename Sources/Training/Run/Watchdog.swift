import Collectives
import Foundation
import Synchronization

/// Ends a job that stands still, and says who waits for whom.
///
/// A thread on each rank looks at what its rank does. When a collective call, or the work between two, takes half the
/// time that is allowed, it writes that into a folder of the run directory; when a call takes all of it, the lowest
/// rank that waits so long reads what the others wrote, tells, and each of them ends its process, so that the launcher
/// ends the job. No messages, for those may be what stands still. A rank that wrote nothing doesn't run, or has no link.
final class Watchdog: Sendable {
    /// What a rank writes.
    struct Report: Codable, Equatable {
        let rank: Int
        let step: Int
        let calls: Int
        /// The collective call that it waits in; nil while it computes.
        let call: String?
        let seconds: Double
    }

    private let activity: Activity
    private let place: (rank: Int, hosts: [String])
    private let folder: String
    private let timeout: Double
    private let end: @Sendable (String?) -> Void
    private let isOver = Mutex(false)

    /// Of a rank's looks. Time is counted in them, so that a job that was suspended as a whole has not waited.
    private static let pause = 0.25

    /// Starts to watch.
    /// - Parameters:
    ///   - hosts: of each rank.
    ///   - folder: for this start of the job; all ranks see it, where they can.
    ///   - timeout: seconds.
    ///   - end: called once on a rank that has waited that long, with what there is to tell, or nil where another rank
    ///     tells it.
    init(
        _ activity: Activity, rank: Int, hosts: [String], folder: String, timeout: Double,
        end: @escaping @Sendable (String?) -> Void
    ) {
        self.activity = activity
        place = (rank, hosts)
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
                if isReported { try? FileManager.default.removeItem(atPath: path(place.rank)) }
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
                // Those who came into the call a little later write their last report, too.
                Thread.sleep(forTimeInterval: min(2, timeout / 4))
                guard activity.now.calls == state.calls && activity.now.call != nil else { continue }
                return tell(own(state, seconds))
            }
        }
    }

    private func path(_ rank: Int) -> String { "\(folder)/rank-\(rank).json" }

    private func own(_ state: Activity.State, _ seconds: Double) -> Report {
        Report(rank: place.rank, step: state.step, calls: state.calls, call: state.call, seconds: seconds)
    }

    /// Seconds that the run directory is waited for: what stands still may be its disk.
    private static let patience = 5.0

    private func report(_ state: Activity.State, _ seconds: Double) {
        let work = BackgroundWork("report") { [self, report = own(state, seconds)] in
            try? FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            try? JSONEncoder().encode(report).write(to: URL(fileURLWithPath: path(place.rank)), options: .atomic)
        }
        work.wait(atMost: Self.patience)
    }

    private func tell(_ own: Report) {
        let reading = BackgroundWork("reports") { [self] in
            place.hosts.indices.map { rank in
                FileManager.default.contents(atPath: path(rank)).flatMap {
                    try? JSONDecoder().decodeForeign(Report.self, from: $0)
                }
            }
        }
        var reports = [Report?](repeating: nil, count: place.hosts.count)
        if reading.wait(atMost: Self.patience), let read = try? reading.wait() { reports = read }
        let unwritten = reports[own.rank] == nil ? folder : nil
        reports[own.rank] = own
        // One that came later into its call hasn't waited long enough to speak.
        let speaker = reports.firstIndex { $0?.call != nil && $0!.seconds >= timeout }
        guard speaker == own.rank else { return end(nil) }
        end(Self.description(own, reports: reports, hosts: place.hosts, unwritten: unwritten))
    }

    /// One line: who waits, in which call, for how long, and what is known of the others. Who waits isn't missing where
    /// others wait in another call: what came of a sum can reach one rank before the last word of it reaches another.
    /// - Parameter unwritten: the folder, where reports can't be written to it, so that nothing is known of others.
    static func description(
        _ own: Report, reports: [Report?], hosts: [String], unwritten: String? = nil
    ) -> String {
        var waiting: [(call: String, ranks: [Int])] = []
        var missing: [String] = []
        for (rank, report) in reports.enumerated() {
            guard let report else {
                missing.append("rank \(rank) on \(hosts[rank]) (no word from it: stopped, dead or cut off)")
                continue
            }
            guard let call = report.call.map({ "collective \(report.calls), \($0)" }) else {
                let doing = "computing behind call \(report.calls), for \(Int(report.seconds)) s"
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
                "what others do isn't known, for \(unwritten) can't be written"
            } else if missing.isEmpty {
                "all ranks wait: the network between them fails"
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
