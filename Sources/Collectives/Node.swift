/// The ranks that share memory with this one: those of its machine, or only itself.
///
/// What is shared is cut into slices, one for each of the first `owners` ranks of every node, so that a slice's owners
/// on all nodes can sum theirs over the network at the same time. `memory` and `meet` are collective over the ranks of
/// the node.
package protocol Node: AnyObject {
    /// This rank, in `0..<size`.
    var place: Int { get }
    /// Ranks of this node, at least 1.
    var size: Int { get }
    /// Ranks of the smallest node: places from `owners` on own nothing.
    var owners: Int { get }
    /// Whether this rank owns slices, and is the one to speak for their owners on all nodes.
    var standsForOwners: Bool { get }
    /// How many nodes there are.
    var nodes: Int { get }
    /// Why ranks of one machine don't share memory, for the user.
    var note: String? { get }
    /// Memory of each rank of the node, in order, that all of them may read and write; `count` is this rank's. It
    /// starts at 0 and lives as long as this object.
    func memory(_ count: Int) throws -> [UnsafeMutableBufferPointer<Float>]
    /// Returns when every rank of the node has entered; all see what the others wrote before.
    func meet() throws
    /// Sums over nodes; nil where there is one.
    var exchange: (any NodeExchange)? { get }
}

/// Sums over nodes that go on while ranks compute, without a thread of their own: whoever computes calls `progress` now
/// and then.
package protocol NodeExchange: AnyObject {
    /// Tells the ranks of this node how much of something that only grows is there: they see all that was written before.
    func announce(_ amount: Int)
    /// The least that any rank of this node has announced.
    var announcedByAll: Int { get }
    /// Starts to replace each element by its sum over nodes, and returns. The owners of a slice start the same sums in
    /// the same order. The result has the same bits on every node.
    /// - Parameter index: tells sums that are under way from each other; small, and the same for arrays of one size.
    func start(_ values: UnsafeMutableBufferPointer<Float>, index: Int) throws
    /// Moves what was started on, and returns at once: true where all is done.
    func progress() throws -> Bool
}

extension Node {
    package var note: String? { nil }
    package var standsForOwners: Bool { place < owners }
    package var exchange: (any NodeExchange)? { nil }

    /// The part of `count` elements that this rank owns; whole cache lines, but for the last.
    package func slice(of count: Int) -> Range<Int> {
        func edge(_ place: Int) -> Int { place >= owners ? count : count / 16 * place / owners * 16 }
        return edge(place)..<edge(place + 1)
    }
}

/// A world of one rank: it owns everything.
package final class LoneNode: Node {
    package let place = 0, size = 1, owners = 1, nodes = 1
    private var blocks: [FloatBlock] = []

    package init() {}

    package func memory(_ count: Int) -> [UnsafeMutableBufferPointer<Float>] {
        blocks.append(FloatBlock(count))
        return [blocks[blocks.count - 1].elements]
    }

    package func meet() {}
}

/// Floats that start at 0, on a cache line.
package final class FloatBlock {
    package let elements: UnsafeMutableBufferPointer<Float>

    package init(_ count: Int) {
        let block = UnsafeMutableRawPointer.allocate(byteCount: max(count, 1) * 4, alignment: 64)
        elements = UnsafeMutableBufferPointer(start: block.bindMemory(to: Float.self, capacity: count), count: count)
        elements.initialize(repeating: 0)
    }

    deinit { UnsafeMutableRawPointer(elements.baseAddress)?.deallocate() }
}
