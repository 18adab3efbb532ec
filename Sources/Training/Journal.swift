import Collectives
import Foundation

/// One line of `metrics.jsonl`.
package struct Metric: Encodable, Sendable {
    package let step: Int
    package let epoch: Int
    /// Of the global batch: the loss, and by name what it is the sum of; null where it was not finite.
    package let terms: LossTerms
    /// The bound in nats, where the estimator gives one.
    package let mutualInformation: Double?
    /// Of the optimiser, at this step.
    package let rate: Double
    /// All ranks together, since the line before.
    package let imagesPerSecond: Double
    /// Since this start of the program.
    package let seconds: Double

    private enum CodingKeys: String, CodingKey {
        case step, epoch, loss, terms, rate, seconds
        case mutualInformation = "mutual_information"
        case imagesPerSecond = "images_per_second"
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(step, forKey: .step)
        try container.encode(epoch, forKey: .epoch)
        func finite(_ value: Double) -> Double? { value.isFinite ? value : nil }  // null, not left out
        try container.encode(finite(terms.loss), forKey: .loss)
        let named = zip(terms.names, terms.values).map { ($0.rawValue, finite($1)) }
        try container.encode(Dictionary(uniqueKeysWithValues: named), forKey: .terms)
        try container.encode(mutualInformation, forKey: .mutualInformation)
        try container.encode(rate, forKey: .rate)
        try container.encode(imagesPerSecond, forKey: .imagesPerSecond)
        try container.encode(seconds, forKey: .seconds)
    }
}

/// Appends lines to `metrics.jsonl`. For the first rank. Several programs may append at once.
package final class Journal {
    private let file: FileHandle
    private let encoder = JSONEncoder()

    /// - Parameter start: for the run itself: lines of later steps, from a run that went further than its checkpoint,
    ///   and broken ones are dropped first. nil keeps all.
    package init(run: String, from start: Int?) throws {
        let path = run + "/metrics.jsonl"
        if let start, FileManager.default.fileExists(atPath: path) {
            let old = try Foundation.Data(contentsOf: URL(fileURLWithPath: path))
            try DurableFile.replace(path, by: Self.lines(old, upTo: start))
        }
        let descriptor = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw FileError(action: "open", path: path, code: errno) }
        file = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // A line that a kill cut off must not swallow the next.
        var last = UInt8(ascii: "\n")
        let size = lseek(descriptor, 0, SEEK_END)
        if size > 0 && pread(descriptor, &last, 1, size - 1) == 1 && last != UInt8(ascii: "\n") {
            try file.write(contentsOf: Foundation.Data("\n".utf8))
        }
    }

    /// The lines that are whole and of no later step than this.
    private static func lines(_ old: Foundation.Data, upTo start: Int) -> Foundation.Data {
        struct Line: Decodable { let step: Int? }
        var kept = Foundation.Data()
        for bytes in old.split(separator: UInt8(ascii: "\n")) {
            guard let line = try? JSONDecoder().decode(Line.self, from: bytes), line.step ?? 0 <= start else {
                continue
            }
            kept += bytes + [UInt8(ascii: "\n")]
        }
        return kept
    }

    package func note(_ line: some Encodable) throws {
        try file.write(contentsOf: try encoder.encode(line) + Foundation.Data("\n".utf8))
    }
}
