/// The ranks that share memory with this one: those of its machine, or only itself.
///
/// Shared memory is divided into slices, one for each of the first `owners` ranks of every node. So the owners of all
/// slices can sum them over the network at the same time. `memory` and `meet` are collective over the ranks of the
/// node.
package protocol Node: AnyObject {
    /// Index of this rank in the node, in `0..<size`.
    var index: Int { get }
    /// Number of ranks of this node, at least 1.
    var size: Int { get }
    /// Number of ranks of the smallest node. Ranks with an index from `owners` on own nothing.
    var owners: Int { get }
    /// Whether this rank owns slices, and represents their owners on all nodes.
    var standsForOwners: Bool { get }
    /// Number of nodes.
    var nodes: Int { get }
    /// Why ranks of one machine don't share memory, for the user.
    var note: String? { get }
    /// Memory of each rank of the node, in order, that all of them may read and write. `count` is the size of this
    /// rank's. It is 0 at the start and lives as long as this object.
    func memory(_ count: Int) throws -> [UnsafeMutableBufferPointer<Float>]
    /// Returns when every rank of the node has called it. Then all see what the others wrote before.
    func meet() throws
    /// Sums over nodes; nil for one node.
    var exchange: (any NodeExchange)? { get }
}

/// Sums over nodes that proceed while ranks compute, without their own thread: the computing thread calls `progress`
/// now and then.
package protocol NodeExchange: AnyObject {
    /// Announces a growing amount to the ranks of this node. They then see all that was written before.
    func announce(_ amount: Int)
    /// The least that any rank of this node has announced.
    var announcedByAll: Int { get }
    /// Starts replacing each element by its sum over nodes, and returns. The owners of a slice must start the same sums
    /// in the same order. The result has the same bits on every node.
    ///
    /// In bfloat16, a node adds its numbers in float32 to the rounded sum of the nodes before it, and the last one rounds
    /// the result. So a sum over P nodes is rounded P times, each time by at most 2^-8 of a partial sum.
    /// - Parameters:
    ///   - index: distinguishes sums that are under way; small, and always the same for arrays of one size.
    ///   - precision: in which numbers sums travel, the same on every node.
    func start(_ values: UnsafeMutableBufferPointer<Float>, index: Int, in precision: Precision) throws
    /// Moves started sums on, and returns at once: true if all are done.
    func progress() throws -> Bool
}

extension Node {
    package var note: String? { nil }
    package var standsForOwners: Bool { index < owners }
    package var exchange: (any NodeExchange)? { nil }

    /// The slice of `count` elements that this rank owns; it consists of whole cache lines, except the last slice.
    package func slice(of count: Int) -> Range<Int> {
        func edge(_ index: Int) -> Int { index >= owners ? count : count / 16 * index / owners * 16 }
        return edge(index)..<edge(index + 1)
    }
}

/// A world of one rank: it owns everything.
package final class LoneNode: Node {
    package let index = 0, size = 1, owners = 1, nodes = 1
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
