import Collectives

/// Finds the rank that others wait for. It compares computing times without waits, because with waits all ranks take as
/// long as the slowest.
final class SlowRanks {
    /// The ranks' computing times over the last steps, in milliseconds for each image, because some ranks have more
    /// images than others.
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

        /// Whether the slowest is worth a warning: it takes more than 1.5 times the median, and the difference isn't
        /// tiny.
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

    /// On rank 0, whether it is time to compare.
    var isDue: Bool { ranks.isFirst && ranks.worldSize > 1 && start + Self.pause < .now }

    /// Counts a step that ends now, with this rank's number of images.
    func endStep(images count: Int) { images += count }

    /// Compares the steps since the last time. Collective.
    func compare() throws -> Comparison {
        let total = activity.now.waited
        let computing = start.duration(to: .now) - (total - waited)
        let own = images == 0 ? 0 : Int(computing / .nanoseconds(1)) / images
        (images, start, waited) = (0, .now, total)
        return Self.comparison(nanoseconds: try ranks.gather(own), hosts: hosts)
    }

    /// - Parameter nanoseconds: time for each image, by rank; 0 for a rank without images.
    static func comparison(nanoseconds: [Int], hosts: [String]) -> Comparison {
        let slowest = nanoseconds.indices.max { nanoseconds[$0] < nanoseconds[$1] } ?? 0
        let others = nanoseconds.filter { $0 > 0 }.sorted()
        let median = others.isEmpty ? 0 : others[(others.count - 1) / 2]
        return Comparison(
            median: Double(median) / 1e6, slowest: Double(nanoseconds[slowest]) / 1e6, rank: slowest,
            host: hosts[slowest])
    }
}
