import Collectives

/// Finds the rank that others wait for, by the time that it computes: a rank that waits takes as long as the slowest.
final class SlowRanks {
    /// What a rank computes a step, in milliseconds, over the last steps.
    package struct Comparison: Encodable, Sendable {
        let median: Double
        let slowest: Double
        let rank: Int
        let host: String

        private enum CodingKeys: String, CodingKey {
            case rank, host
            case median = "median_ms"
            case slowest = "slowest_ms"
        }

        /// Worth a word: half as long again as the others.
        var isSlow: Bool { slowest > 1.5 * median && slowest > median + 5 }
    }

    private let ranks: any Ranks
    private let activity: Activity
    private let hosts: [String]
    private var steps = 0
    private var start = ContinuousClock.now
    private var waited = Duration.zero

    private static let pause = Duration.seconds(10)

    init(_ activity: Activity, hosts: [String], ranks: any Ranks) {
        self.activity = activity
        self.hosts = hosts
        self.ranks = ranks
        waited = activity.now.waited
    }

    /// On the first rank, whether it is time to compare.
    var isDue: Bool { ranks.isFirst && ranks.worldSize > 1 && start + Self.pause < .now }

    /// Counts a step that ends here.
    func endStep() { steps += 1 }

    /// Compares the steps since the last time. Collective.
    func compare() throws -> Comparison {
        let total = activity.now.waited
        let computing = start.duration(to: .now) - (total - waited)
        let own = Int(computing / .microseconds(1)) / max(steps, 1)
        (steps, start, waited) = (0, .now, total)
        return Self.comparison(microseconds: try ranks.gather(own), hosts: hosts)
    }

    static func comparison(microseconds: [Int], hosts: [String]) -> Comparison {
        let slowest = microseconds.indices.max { microseconds[$0] < microseconds[$1] } ?? 0
        let median = microseconds.sorted()[(microseconds.count - 1) / 2]
        return Comparison(
            median: Double(median) / 1000, slowest: Double(microseconds[slowest]) / 1000, rank: slowest,
            host: hosts[slowest])
    }
}
