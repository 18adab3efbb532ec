import Collectives
import Foundation

/// The time of a step by pieces: the pieces of a timeline, summed by name.
struct PieceTable {
    struct Row: Encodable {
        let name: String
        let kind: String
        /// Time in a step, without the pieces inside it.
        let milliseconds: Double
        let gigaflopsPerSecond: Double?
        let gigabytesPerSecond: Double?
        /// Its speed as a fraction of the machine's best, each product in its own precision.
        let ofBest: Double?

        private enum CodingKeys: String, CodingKey {
            case name, kind
            case milliseconds = "ms"
            case gigaflopsPerSecond = "gflops_per_second"
            case gigabytesPerSecond = "gbytes_per_second"
            case ofBest = "of_best"
        }
    }

    /// Longest first.
    let rows: [Row]
    /// Speed of the encoder's pieces, forward and backward, batch norms included.
    let encoderGigaflops: Double

    /// - Parameters:
    ///   - steps: number of steps in the timeline; times and work are their means.
    ///   - peak: what speeds are compared with.
    init(_ timeline: Timeline, steps: Int, peak: MachinePeak) {
        struct Sum {
            var kind = Timeline.Kind.computation
            var seconds = 0.0
            var work = Timeline.Work()
        }
        var sums: [String: Sum] = [:]
        for piece in timeline.pieces {
            sums[piece.name, default: Sum()].kind = piece.kind
            sums[piece.name, default: Sum()].seconds += piece.own
            sums[piece.name, default: Sum()].work.operations += piece.work.operations
            sums[piece.name, default: Sum()].work.float32Operations += piece.work.float32Operations
            sums[piece.name, default: Sum()].work.bytes += piece.work.bytes
        }
        rows = sums.sorted { $0.value.seconds > $1.value.seconds }.map { name, sum in
            let (operations, bytes) = (Double(sum.work.operations), Double(sum.work.bytes))
            let isMemoryBound = operations == 0 && bytes > 0
            let ofMemory =
                isMemoryBound && sum.kind != .communication ? bytes / sum.seconds / 1e9 / peak.gigabytes : nil
            return Row(
                name: name, kind: sum.kind.rawValue, milliseconds: sum.seconds / Double(steps) * 1000,
                gigaflopsPerSecond: operations > 0 ? operations / sum.seconds / 1e9 : nil,
                gigabytesPerSecond: isMemoryBound ? bytes / sum.seconds / 1e9 : nil,
                ofBest: operations > 0 ? peak.seconds(sum.work) / sum.seconds : ofMemory)
        }
        let encoder = sums.filter { $0.key.split(separator: ".").contains("encoder") }.values
        encoderGigaflops =
            Double(encoder.reduce(0) { $0 + $1.work.operations }) / encoder.reduce(0) { $0 + $1.seconds } / 1e9
    }

    func milliseconds(_ kind: Timeline.Kind) -> Double {
        rows.reduce(0) { $1.kind == kind.rawValue ? $0 + $1.milliseconds : $0 }
    }

    /// The rows as text, each compared with the machine's best. Pieces that take less than a thousandth of the step are
    /// left out.
    func text(step: Double) -> String {
        let width = max(5, rows.map(\.name.count).max() ?? 0)
        func line(_ name: String, _ rest: String) -> String {
            name.padding(toLength: width, withPad: " ", startingAt: 0) + rest
        }
        var lines = [line("piece", "       ms      %   of it, and of the machine's best")]
        var shown = 0.0
        for row in rows where row.milliseconds > step / 1000 {
            shown += row.milliseconds
            var speed = ""
            if let rate = row.gigaflopsPerSecond {
                speed = String(format: "%8.1f GFLOP/s  ", rate)
            } else if let rate = row.gigabytesPerSecond {
                speed = String(format: "%8.1f GB/s     ", rate)
            }
            if let fraction = row.ofBest { speed += String(format: "%3.0f %%", 100 * fraction) }
            lines.append(
                line(row.name, String(format: "%9.2f %6.1f", row.milliseconds, 100 * row.milliseconds / step) + speed))
        }
        lines.append(line("all else", String(format: "%9.2f %6.1f", step - shown, 100 * (step - shown) / step)))
        return lines.joined(separator: "\n")
    }
}

/// Timelines of all ranks in Chrome's trace format, for chrome://tracing or ui.perfetto.dev.
enum Trace {
    private struct Event: Encodable {
        struct Details: Encodable {
            var name: String?
            var gigaflop: Double?
            var bytes: Int?
        }

        let name: String
        let ph: String
        let pid: Int
        var tid = 0
        var cat: String?
        var ts: Double?
        var dur: Double?
        var args: Details?
    }

    /// All ranks' events as one JSON text, complete on every rank. Collective.
    static func text(_ timeline: Timeline, ranks: any Ranks) throws -> String {
        let title = Event(
            name: "process_name", ph: "M", pid: ranks.rank,
            args: Event.Details(name: "rank \(ranks.rank) on \(ranks.host)"))
        let events = timeline.pieces.map { piece in
            Event(
                name: piece.name, ph: "X", pid: ranks.rank, cat: piece.kind.rawValue, ts: piece.start * 1e6,
                dur: (piece.end - piece.start) * 1e6,
                args: Event.Details(
                    gigaflop: piece.work.operations > 0 ? Double(piece.work.operations) / 1e9 : nil,
                    bytes: piece.work.bytes > 0 ? piece.work.bytes : nil))
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        let own = String(decoding: try encoder.encode([title] + events), as: UTF8.self)
        let parts = try ranks.gatherText(String(own.dropFirst().dropLast()))
        return "{\"displayTimeUnit\": \"ms\", \"traceEvents\": [\(parts.joined(separator: ",\n"))]}\n"
    }
}
