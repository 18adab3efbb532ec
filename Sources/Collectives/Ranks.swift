// The one protocol through which ranks communicate.
//
// Aims, in order: 1. every rank gets the same bits  2. an error on one rank ends all of them  3. speed.

/// The ranks of one job, seen from one of them.
///
/// Every call except the properties is collective: all ranks make the same calls in the same order, with the stated
/// sizes, and return together. Results have the same bits on every rank, and are the same from run to run at one world
/// size. Any call throws when a rank has failed; the job can't continue after that.
package protocol Ranks: AnyObject {
    /// This rank, in `0..<worldSize`.
    var rank: Int { get }
    /// Number of ranks, at least 1.
    var worldSize: Int { get }
    /// Name of the machine that this rank runs on.
    var host: String { get }

    /// Returns when every rank has called it.
    func barrier() throws
    /// Replaces each element by its sum over ranks. Same count on every rank.
    func sum(_ values: UnsafeMutableBufferPointer<Float>) throws
    /// Replaces each element by its sum over ranks. Same count on every rank.
    func sum(_ values: UnsafeMutableBufferPointer<Double>) throws
    /// Replaces each element by its maximum over ranks. Same count on every rank; no NaN.
    func maximum(_ values: UnsafeMutableBufferPointer<Float>) throws
    /// Concatenates the ranks' parts in rank order into `whole` on every rank.
    /// `counts[r]` is the size in bytes of rank r's part.
    func gather(_ part: UnsafeRawBufferPointer, counts: [Int], into whole: UnsafeMutableRawBufferPointer) throws
    /// Sums `whole` over ranks and gives rank r the r-th consecutive slice, of `counts[r]` elements.
    func sumScattered(
        _ whole: UnsafeBufferPointer<Float>, counts: [Int], into slice: UnsafeMutableBufferPointer<Float>) throws
    /// Copies root's bytes to every rank. Same size on every rank.
    func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from root: Int) throws
    /// Runs work that waits for other ranks through a node (`Node.meet`, the end of a `NodeExchange`), so that it is
    /// watched and timed like the calls above.
    func waiting<Result>(_ name: String, _ body: () throws -> Result) rethrows -> Result
    /// The ranks that share memory with this one. If the memory to share doesn't fit a machine's shared memory, each
    /// rank is its own node.
    /// - Parameters:
    ///   - once: bytes that one rank of each machine will request.
    ///   - each: bytes that every rank will request.
    func node(sharing once: Int, each: Int) throws -> any Node
    /// Ends every rank of the job at once with this exit status, after a failure on this rank alone.
    func abort(status: Int32) -> Never
}

extension Ranks {
    package func waiting<Result>(_ name: String, _ body: () throws -> Result) rethrows -> Result { try body() }

    /// Whether this is rank 0, which prints and writes for all.
    package var isFirst: Bool { rank == 0 }

    /// The beginning of a line from this rank.
    package var label: String { "[rank \(rank) on \(host)]" }

    /// Each element summed over ranks.
    package func sum(_ values: [Double]) throws -> [Double] {
        var result = values
        try result.withUnsafeMutableBufferPointer { try sum($0) }
        return result
    }

    /// Each element summed over ranks; exact as long as sums stay below 2^53.
    package func sum(_ values: [Int]) throws -> [Int] {
        try sum(values.map(Double.init)).map { Int($0) }
    }

    /// One number from each rank, in rank order.
    package func gather(_ value: Int) throws -> [Int] {
        var whole = [Int](repeating: 0, count: worldSize)
        let counts = [Int](repeating: MemoryLayout<Int>.size, count: worldSize)
        try withUnsafeBytes(of: value) { part in
            try whole.withUnsafeMutableBytes { try gather(part, counts: counts, into: $0) }
        }
        return whole
    }

    /// Each rank's elements, concatenated in rank order on every rank. Parts may differ in length.
    package func gather<Element: BitwiseCopyable>(_ part: [Element], filler: Element) throws -> [Element] {
        let sizes = try gather(part.count)
        var whole = [Element](repeating: filler, count: sizes.reduce(0, +))
        let counts = sizes.map { $0 * MemoryLayout<Element>.stride }
        try part.withUnsafeBytes { part in
            try whole.withUnsafeMutableBytes { try gather(part, counts: counts, into: $0) }
        }
        return whole
    }

    /// One string from each rank, in rank order.
    package func gatherText(_ text: String) throws -> [String] {
        let sizes = try gather(text.utf8.count)
        var rest = try gather(Array(text.utf8), filler: 0)[...]
        return sizes.map { size in
            defer { rest = rest.dropFirst(size) }
            return String(decoding: rest.prefix(size), as: UTF8.self)
        }
    }

    /// Number of ranks on this rank's machine, with itself. They share its memory. Collective.
    package func ranksOfThisMachine() throws -> Int { try gatherText(host).count { $0 == host } }

    /// Root's string on every rank.
    package func broadcast(_ text: String, from root: Int) throws -> String {
        let parts = try gather(rank == root ? Array(text.utf8) : [], filler: 0)
        return String(decoding: parts, as: UTF8.self)
    }
}
