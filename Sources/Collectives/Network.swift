/// A network between nodes as latency and bandwidth (Hockney 1994), and what collectives over it take by the algorithms
/// that Open MPI picks from: the better of recursive doubling and a ring (Thakur, Rabenseifner & Gropp 2005, section 4).
package struct Network: Equatable, Sendable {
    /// Seconds from one node to another for an empty message.
    package let latency: Double
    /// Bytes a second of a node's link, each way.
    package let bandwidth: Double

    package init(latency: Double, bandwidth: Double) {
        self.latency = latency
        self.bandwidth = bandwidth
    }

    private func rounds(_ nodes: Int) -> Double {
        nodes > 1 ? Double(Int.bitWidth - (nodes - 1).leadingZeroBitCount) : 0
    }

    private func share(_ nodes: Int) -> Double { Double(nodes - 1) / Double(max(nodes, 1)) }

    /// Seconds for a sum of so many bytes over nodes, with its result on all.
    package func allReduce(bytes: Double, nodes: Int) -> Double {
        let doubling = rounds(nodes) * (latency + bytes / bandwidth)
        let ring = 2 * (Double(nodes - 1) * latency + share(nodes) * bytes / bandwidth)
        return min(doubling, ring)
    }

    /// Seconds until every node has all parts, of so many bytes together; or each its piece of a sum of that size.
    package func gather(bytes: Double, nodes: Int) -> Double {
        rounds(nodes) * latency + share(nodes) * bytes / bandwidth
    }
}
