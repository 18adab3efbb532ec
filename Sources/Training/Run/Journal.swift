import Collectives
import Foundation

/// One line of `metrics.jsonl`.
package struct Metric: Encodable, Sendable {
    package let step: Int
    package let epoch: Int
    /// Of the global batch: the loss, and by name what it is the sum of; null where it was not finite.
    package let terms: LossTerms
    /// Of the first group that moves, at this step.
    package let rate: Double?
    /// All ranks together, since the line before.
    package let imagesPerSecond: Double
    /// Since this start of the program.
    package let seconds: Double
    /// What the ranks computed a step, on lines before which they were compared.
    let computing: SlowRanks.Comparison?

    private enum CodingKeys: String, CodingKey {
        case step, epoch, loss, terms, rate, seconds, computing
        case mutualInformation = "mutual_information"
        case imagesPerSecond = "images_per_second"
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(step, forKey: .step)
        try container.encode(epoch, forKey: .epoch)
        func finite(_ value: Double) -> Double? { value.isFinite ? value : nil }  // null, not left out
        try container.encode(finite(terms.loss), forKey: .loss)
        let named = zip(terms.names, terms.values).map { ($0, finite($1)) }
        try container.encode(Dictionary(uniqueKeysWithValues: named), forKey: .terms)
        try container.encode(terms.mutualInformation, forKey: .mutualInformation)
        try container.encode(rate, forKey: .rate)
        try container.encode(imagesPerSecond, forKey: .imagesPerSecond)
        try container.encode(seconds, forKey: .seconds)
        try container.encodeIfPresent(computing, forKey: .computing)
    }
}

/// Appends lines to `metrics.jsonl`. For the first rank. Several programs may append at once.
///
/// What a full disk doesn't take is kept, up to a limit, and written with a later line.
package final class Journal {
    private let path: String
    private let descriptor: Int32
    private let encoder = JSONEncoder()
    private var unwritten = Data()
    /// What hinders writing now, for the user; nil where nothing does.
    package private(set) var problem: String?

    /// Lines of an earlier start that were broken, and are left out.
    package private(set) var brokenLines = 0

    private static let mostUnwritten = 64 << 20
    /// Whether more waited than that.
    private var isFull = false

    /// - Parameter start: for the run itself: lines of later steps, from a run that went further than its checkpoint,
    ///   and broken ones are dropped first. nil keeps all.
    package init(run: String, from start: Int?) throws {
        path = run + "/metrics.jsonl"
        if let start, FileManager.default.fileExists(atPath: path) {
            let old = try Data(contentsOf: URL(fileURLWithPath: path))
            let (kept, broken) = Self.lines(old, upTo: start)
            brokenLines = broken
            try DurableFile.replace(path, by: kept)
        }
        descriptor = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw FileError(action: "open", path: path, code: errno) }
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // A line that a kill cut off must not swallow the next.
        var last = UInt8(ascii: "\n")
        let size = lseek(descriptor, 0, SEEK_END)
        if size > 0 && pread(descriptor, &last, 1, size - 1) == 1 && last != UInt8(ascii: "\n") {
            unwritten.append(UInt8(ascii: "\n"))
        }
    }

    deinit { close(descriptor) }

    /// The lines that are whole and of no later step than this, and how many aren't whole.
    private static func lines(_ old: Data, upTo start: Int) -> (kept: Data, broken: Int) {
        struct Line: Decodable { let step: Int? }
        var (kept, broken) = (Data(), 0)
        for bytes in old.split(separator: UInt8(ascii: "\n")) {
            guard let line = try? JSONDecoder().decodeForeign(Line.self, from: bytes) else {
                broken += 1
                continue
            }
            if line.step ?? 0 <= start { kept += bytes + [UInt8(ascii: "\n")] }
        }
        return (kept, broken)
    }

    package func note(_ line: some Encodable) throws {
        if unwritten.count < Self.mostUnwritten {
            unwritten += try encoder.encode(line) + [UInt8(ascii: "\n")]
        } else {
            isFull = true
        }
        flush()
    }

    /// Tries again to write what hasn't been written.
    package func flush() {
        problem = nil
        while !unwritten.isEmpty {
            let count = unwritten.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else {
                problem = FileError(action: "write", path: path, code: errno).description
                if isFull { problem? += ", and lines are lost now, for \(Self.mostUnwritten >> 20) MiB of them wait" }
                return
            }
            unwritten = Data(unwritten.dropFirst(count))
        }
    }
}
