/// The ranks that share memory with this one: those of its machine, or only itself.
///
/// What is shared is cut into slices, one for each of the first `owners` ranks of every node, so that a slice's owners
/// on all nodes can sum theirs over the network at the same time. Every call but the properties is collective over the
/// ranks of the node.
package protocol Node: AnyObject {
    /// This rank, in `0..<size`.
    var place: Int { get }
    /// Ranks of this node, at least 1.
    var size: Int { get }
    /// Ranks of the smallest node: places from `owners` on own nothing.
    var owners: Int { get }
    /// How many nodes there are.
    var nodes: Int { get }
    /// Why ranks of one machine don't share memory, for the user.
    var note: String? { get }
    /// Memory of each rank of the node, in order, that all of them may read and write; `count` is this rank's. It
    /// starts at 0 and lives as long as this object.
    func memory(_ count: Int) throws -> [UnsafeMutableBufferPointer<Float>]
    /// Returns when every rank of the node has entered; all see what the others wrote before.
    func meet() throws
    /// Replaces each element by its sum over nodes. Collective over the owners of one slice. Same bits on every node.
    func sumOverNodes(_ values: UnsafeMutableBufferPointer<Float>) throws
}

extension Node {
    package var note: String? { nil }

    /// The part of `count` elements that this rank owns; whole cache lines, but for the last.
    package func slice(of count: Int) -> Range<Int> {
        func edge(_ place: Int) -> Int { place >= owners ? count : count / 16 * place / owners * 16 }
        return edge(place)..<edge(place + 1)
    }
}

/// A node of one rank: it owns everything, and sums go over all ranks.
package final class LoneNode: Node {
    package let place = 0, size = 1, owners = 1
    package var nodes: Int { ranks.worldSize }
    package let note: String?
    private let ranks: any Ranks
    private var blocks: [FloatBlock] = []

    package init(_ ranks: any Ranks, note: String? = nil) {
        self.ranks = ranks
        self.note = note
    }

    package func memory(_ count: Int) -> [UnsafeMutableBufferPointer<Float>] {
        blocks.append(FloatBlock(count))
        return [blocks[blocks.count - 1].elements]
    }

    package func meet() {}

    package func sumOverNodes(_ values: UnsafeMutableBufferPointer<Float>) throws { try ranks.sum(values) }
}

/// Floats that start at 0, on a cache line.
final class FloatBlock {
    let elements: UnsafeMutableBufferPointer<Float>

    init(_ count: Int) {
        let block = UnsafeMutableRawPointer.allocate(byteCount: max(count, 1) * 4, alignment: 64)
        elements = UnsafeMutableBufferPointer(start: block.bindMemory(to: Float.self, capacity: count), count: count)
        elements.initialize(repeating: 0)
    }

    deinit { UnsafeMutableRawPointer(elements.baseAddress)?.deallocate() }
}
