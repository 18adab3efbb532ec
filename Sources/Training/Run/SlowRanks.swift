import Collectives

/// Finds the rank that others wait for, by the time that it computes: a rank that waits takes as long as the slowest.
final class SlowRanks {
    /// What a rank computes for each of its images, in milliseconds, over the last steps. For an image, because some
    /// ranks have more of them than others.
    package struct Comparison: Encodable, Sendable {
        let median: Double
        let slowest: Double
        let rank: Int
        let host: String

        private enum CodingKeys: String, CodingKey {
            case rank, host
            case median = "median_ms_per_image"
            case slowest = "slowest_ms_per_image"
        }

        /// Worth a word: half as long again as the others, and not by next to nothing.
        var isSlow: Bool { slowest > 1.5 * median && slowest > median + 0.05 }
    }

    private let ranks: any Ranks
    private let activity: Activity
    private let hosts: [String]
    private var images = 0
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

    /// Counts a step that ends here, with so many images of this rank.
    func endStep(images count: Int) { images += count }

    /// Compares the steps since the last time. Collective.
    func compare() throws -> Comparison {
        let total = activity.now.waited
        let computing = start.duration(to: .now) - (total - waited)
        let own = images == 0 ? 0 : Int(computing / .nanoseconds(1)) / images
        (images, start, waited) = (0, .now, total)
        return Self.comparison(nanoseconds: try ranks.gather(own), hosts: hosts)
    }

    /// - Parameter nanoseconds: an image, of each rank; 0 where it had none.
    static func comparison(nanoseconds: [Int], hosts: [String]) -> Comparison {
        let slowest = nanoseconds.indices.max { nanoseconds[$0] < nanoseconds[$1] } ?? 0
        let others = nanoseconds.filter { $0 > 0 }.sorted()
        let median = others.isEmpty ? 0 : others[(others.count - 1) / 2]
        return Comparison(
            median: Double(median) / 1e6, slowest: Double(nanoseconds[slowest]) / 1e6, rank: slowest,
            host: hosts[slowest])
    }
}
