/// A network between nodes, modelled by latency and bandwidth (Hockney 1994). It predicts the time of collectives by
/// the algorithms from which Open MPI chooses: the faster of recursive doubling and a ring (Thakur, Rabenseifner &
/// Gropp 2005, section 4).
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

    private func fraction(_ nodes: Int) -> Double { Double(nodes - 1) / Double(max(nodes, 1)) }

    /// Seconds for a sum of this many bytes over nodes, with the result on all.
    package func allReduce(bytes: Double, nodes: Int) -> Double {
        let doubling = rounds(nodes) * (latency + bytes / bandwidth)
        let ring = 2 * (Double(nodes - 1) * latency + fraction(nodes) * bytes / bandwidth)
        return min(doubling, ring)
    }

    /// Seconds until every node has all parts, of this many bytes together. A sum of that size, scattered in slices,
    /// takes the same time.
    package func gather(bytes: Double, nodes: Int) -> Double {
        rounds(nodes) * latency + fraction(nodes) * bytes / bandwidth
    }
}
