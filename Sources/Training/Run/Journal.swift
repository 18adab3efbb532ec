import Collectives
import Foundation

/// One line of `metrics.jsonl`.
package struct Metric: Encodable, Sendable {
    package let step: Int
    package let epoch: Int
    /// The loss of the global batch, and its terms by name; null where one isn't finite.
    package let terms: LossTerms
    /// Learning rate of the first group that moves, at this step.
    package let rate: Double?
    /// Of all ranks together, since the line before.
    package let imagesPerSecond: Double
    /// Since this start of the program.
    package let seconds: Double
    /// The ranks' computing times, on lines of steps in which they were compared.
    let computing: SlowRanks.Comparison?

    private enum CodingKeys: String, CodingKey {
        case step, epoch, loss, terms, rate, seconds, computing
        case mutualInformation = "mutual_information"
        case imagesPerSecond = "images_per_second"
        case uninformedLoss = "uninformed_loss"
        case healthyDeviation = "healthy_code_deviation"
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
        try container.encodeIfPresent(terms.uninformedLoss, forKey: .uninformedLoss)
        try container.encodeIfPresent(terms.codeDeviation?.healthy, forKey: .healthyDeviation)
        try container.encode(rate, forKey: .rate)
        try container.encode(imagesPerSecond, forKey: .imagesPerSecond)
        try container.encode(seconds, forKey: .seconds)
        try container.encodeIfPresent(computing, forKey: .computing)
    }
}

/// Appends lines to `metrics.jsonl`. For rank 0. Several programs may append at once.
///
/// Lines that a full disk doesn't take are kept, up to a limit, and written with a later line.
package final class Journal {
    private let path: String
    private let descriptor: Int32
    private let encoder = JSONEncoder()
    private var unwritten = Data()
    /// Why lines can't be written now, for the user; nil where they can.
    package private(set) var problem: String?

    /// Number of broken lines of an earlier start, which are left out.
    package private(set) var brokenLines = 0

    private static let mostUnwritten = 64 << 20
    /// Whether more than that waited.
    private var isFull = false

    /// - Parameter start: the step from which the run continues. Broken lines and lines of later steps are dropped
    ///   first (a run may have gone further than its checkpoint). nil keeps all lines.
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
        // A line that a kill cut off must not join the next one.
        var last = UInt8(ascii: "\n")
        let size = lseek(descriptor, 0, SEEK_END)
        if size > 0 && pread(descriptor, &last, 1, size - 1) == 1 && last != UInt8(ascii: "\n") {
            unwritten.append(UInt8(ascii: "\n"))
        }
    }

    deinit { close(descriptor) }

    /// The whole lines up to this step, and the number of broken lines.
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
                if isFull {
                    problem? +=
                        ", and new lines are lost, because \(Self.mostUnwritten >> 20) MiB of them already wait"
                }
                return
            }
            unwritten = Data(unwritten.dropFirst(count))
        }
    }
}
