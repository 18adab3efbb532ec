import Collectives

/// Ranks whose messages are counted: the bytes of the arrays that all ranks hold after a gather, or before and after a sum.
final class CountedRanks: Ranks {
    /// Bytes by kind of call.
    private(set) var gathered = 0, summed = 0, scattered = 0
    private let ranks: any Ranks

    init(_ ranks: any Ranks) { self.ranks = ranks }

    var rank: Int { ranks.rank }
    var worldSize: Int { ranks.worldSize }
    var host: String { ranks.host }

    func barrier() throws { try ranks.barrier() }

    func sum(_ values: UnsafeMutableBufferPointer<Float>) throws {
        summed += 4 * values.count
        try ranks.sum(values)
    }

    func sum(_ values: UnsafeMutableBufferPointer<Double>) throws {
        summed += 8 * values.count
        try ranks.sum(values)
    }

    func maximum(_ values: UnsafeMutableBufferPointer<Float>) throws {
        summed += 4 * values.count
        try ranks.maximum(values)
    }

    func gather(_ part: UnsafeRawBufferPointer, counts: [Int], into whole: UnsafeMutableRawBufferPointer) throws {
        gathered += counts.reduce(0, +)
        try ranks.gather(part, counts: counts, into: whole)
    }

    func sumScattered(
        _ whole: UnsafeBufferPointer<Float>, counts: [Int], into slice: UnsafeMutableBufferPointer<Float>
    ) throws {
        scattered += 4 * whole.count
        try ranks.sumScattered(whole, counts: counts, into: slice)
    }

    func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from root: Int) throws {
        try ranks.broadcast(bytes, from: root)
    }

    func node(sharing once: Int, each: Int) throws -> any Node { try ranks.node(sharing: once, each: each) }

    func abort(status: Int32) -> Never { ranks.abort(status: status) }
}
