/// The timeline of one rank: pieces of a step, which may be inside other pieces, each with its work. It is for
/// measurements (`bench step`); training has none.
package final class Timeline {
    package enum Kind: String, Sendable {
        case computation, communication, data, optimiser
    }

    /// The work of a piece, with which its time is compared.
    package struct Work: Sendable {
        /// Floating-point operations; a multiplication and an addition count as two.
        package var operations = 0
        /// Those of them that are made in float32 also where products are made in another precision.
        package var float32Operations = 0
        /// Fewest bytes to read and write, or bytes sent.
        package var bytes = 0

        package init() {}
    }

    package struct Piece: Sendable {
        package let name: String
        package let kind: Kind
        /// Index of the piece that it is inside of.
        package let outer: Int?
        /// Seconds since the timeline started.
        package let start: Double
        package fileprivate(set) var end: Double
        /// Seconds that pieces inside it took.
        package fileprivate(set) var inside = 0.0
        package fileprivate(set) var work = Work()

        /// Seconds without the pieces inside it.
        package var own: Double { end - start - inside }
    }

    /// Pieces in the order in which they began.
    package private(set) var pieces: [Piece] = []
    private var open: [Int] = []
    private var origin = ContinuousClock.now

    package init() {}

    /// Forgets all pieces and starts again from time 0. It must not be called inside a piece.
    package func restart() {
        pieces.removeAll(keepingCapacity: true)
        origin = .now
    }

    /// Name of the present innermost piece.
    package var current: String? { open.last.map { pieces[$0].name } }

    package func measure<Result>(_ name: String, _ kind: Kind, _ body: () throws -> Result) rethrows -> Result {
        let start = now
        pieces.append(Piece(name: name, kind: kind, outer: open.last, start: start, end: start))
        open.append(pieces.count - 1)
        defer {
            let index = open.removeLast()
            pieces[index].end = now
            if let outer = open.last { pieces[outer].inside += pieces[index].end - start }
        }
        return try body()
    }

    /// Adds to the work of the present innermost piece.
    package func count(operations: Int = 0, float32Operations: Int = 0, bytes: Int = 0) {
        guard let index = open.last else { return }
        pieces[index].work.operations += operations + float32Operations
        pieces[index].work.float32Operations += float32Operations
        pieces[index].work.bytes += bytes
    }

    private var now: Double { origin.duration(to: .now) / .seconds(1) }
}

extension Timeline? {
    /// Runs `body`, as a piece of the timeline if there is one.
    package func measured<Result>(
        _ name: @autoclosure () -> String, _ kind: Timeline.Kind, _ body: () throws -> Result
    ) rethrows -> Result {
        switch self {
        case .some(let timeline): try timeline.measure(name(), kind, body)
        case .none: try body()
        }
    }
}

/// Ranks that write each collective call into a timeline, with the bytes of this rank.
package final class TimedRanks: Ranks {
    private let ranks: any Ranks
    private let timeline: Timeline

    package init(_ ranks: any Ranks, timeline: Timeline) {
        self.ranks = ranks
        self.timeline = timeline
    }

    package var rank: Int { ranks.rank }
    package var worldSize: Int { ranks.worldSize }
    package var host: String { ranks.host }

    private func measure(_ name: String, bytes: Int, _ body: () throws -> Void) rethrows {
        try timeline.measure(name, .communication) {
            timeline.count(bytes: bytes)
            try body()
        }
    }

    package func barrier() throws { try measure("barrier", bytes: 0) { try ranks.barrier() } }

    package func sum(_ values: UnsafeMutableBufferPointer<Float>) throws {
        try measure("sum", bytes: values.count * 4) { try ranks.sum(values) }
    }

    package func sum(_ values: UnsafeMutableBufferPointer<Double>) throws {
        try measure("sum", bytes: values.count * 8) { try ranks.sum(values) }
    }

    package func maximum(_ values: UnsafeMutableBufferPointer<Float>) throws {
        try measure("maximum", bytes: values.count * 4) { try ranks.maximum(values) }
    }

    package func gather(
        _ part: UnsafeRawBufferPointer, counts: [Int], into whole: UnsafeMutableRawBufferPointer
    ) throws {
        try measure("gather", bytes: part.count) { try ranks.gather(part, counts: counts, into: whole) }
    }

    package func sumScattered(
        _ whole: UnsafeBufferPointer<Float>, counts: [Int], into slice: UnsafeMutableBufferPointer<Float>
    ) throws {
        try measure("sum, scattered", bytes: whole.count * 4) {
            try ranks.sumScattered(whole, counts: counts, into: slice)
        }
    }

    package func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from root: Int) throws {
        try measure("broadcast", bytes: bytes.count) { try ranks.broadcast(bytes, from: root) }
    }

    package func waiting<Result>(_ name: String, _ body: () throws -> Result) rethrows -> Result {
        try timeline.measure(name, .communication, body)
    }

    package func node(sharing once: Int, each: Int) throws -> any Node { try ranks.node(sharing: once, each: each) }

    package func abort(status: Int32) -> Never { ranks.abort(status: status) }
}
