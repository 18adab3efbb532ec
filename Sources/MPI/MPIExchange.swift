import CMPI
import Collectives

/// Sums over nodes as rings of messages, each moved on by `progress`.
///
/// Not `MPI_Iallreduce`: Open MPI's sends two to six times the bytes where it works in place. And no thread: one that
/// waits for messages takes half the core that computes.
final class MPIExchange: NodeExchange {
    /// One owner of the slice a node; nil where this rank owns none.
    private let communicator: MPI_Comm?
    private let nodes: Int
    private let place: Int
    private let counters: [UnsafeMutablePointer<Int64>]
    private var rings: [Int: RingSum] = [:]

    /// - Parameter counters: 8 bytes of each of this node's ranks that all of them see, 0.
    init(
        over communicator: MPI_Comm?, nodes: Int, place: Int, counters: [UnsafeMutableBufferPointer<Float>]
    ) throws {
        self.communicator = communicator
        self.nodes = nodes
        self.place = place
        self.counters = counters.map { UnsafeMutableRawPointer($0.baseAddress!).assumingMemoryBound(to: Int64.self) }
    }

    func announce(_ amount: Int) { cmpi_publish(counters[place], Int64(amount)) }

    var announcedByAll: Int { Int(counters.map { cmpi_published($0) }.min() ?? 0) }

    func start(_ values: UnsafeMutableBufferPointer<Float>, index: Int) throws {
        guard let communicator, !values.isEmpty else { return }
        if rings[index] == nil { rings[index] = try RingSum(over: communicator, nodes: nodes, tag: index) }
        try rings[index]?.start(values)
    }

    func progress() throws -> Bool {
        var isDone = true
        for ring in rings.values where try !ring.progress() { isDone = false }
        return isDone
    }
}

/// A sum over ranks in a ring: 2(P - 1) messages of a P-th, the least bytes there can be (Patarasuk & Yuan 2009).
///
/// First each piece travels round the ring and gathers every rank's part; then the finished pieces travel round once
/// more. A piece is added up in one order and copied, so all ranks have the same bits.
private final class RingSum {
    private let communicator: MPI_Comm
    private let rank: Int
    private let nodes: Int
    private let tag: Int32
    private var values = UnsafeMutableBufferPointer<Float>(start: nil, count: 0)
    private var arrived = FloatBlock(0)
    /// Messages that are through, in 0...2(P - 1).
    private var step = 0
    private var requests: [MPI_Request?] = [nil, nil]

    init(over communicator: MPI_Comm, nodes: Int, tag: Int) throws {
        self.communicator = communicator
        self.nodes = nodes
        self.tag = Int32(tag)
        var value: Int32 = 0
        try check("MPI_Comm_rank", MPI_Comm_rank(communicator, &value))
        rank = Int(value)
        step = 2 * (nodes - 1)
    }

    private var isDone: Bool { step == 2 * (nodes - 1) }

    func start(_ values: UnsafeMutableBufferPointer<Float>) throws {
        precondition(isDone, "a sum that is still under way")
        self.values = values
        let largest = (values.count + nodes - 1) / nodes
        if arrived.elements.count < largest { arrived = FloatBlock(largest) }
        step = 0
        try post()
    }

    /// Returns whether the sum is done.
    func progress() throws -> Bool {
        while !isDone {
            var isThrough: Int32 = 0
            try check("MPI_Testall", MPI_Testall(2, &requests, &isThrough, nil))
            guard isThrough != 0 else { return false }
            if step < nodes - 1 {
                let sum = piece(incoming)
                for i in sum.indices { sum[i] += arrived.elements[i] }
            }
            step += 1
            if !isDone { try post() }
        }
        return true
    }

    /// The pieces that this step sends and receives.
    private var outgoing: Int { step < nodes - 1 ? rank - step : rank + 1 - (step - (nodes - 1)) }
    private var incoming: Int { outgoing - 1 }

    private func piece(_ index: Int) -> UnsafeMutableBufferPointer<Float> {
        let i = (index % nodes + nodes) % nodes
        return UnsafeMutableBufferPointer(rebasing: values[values.count * i / nodes..<values.count * (i + 1) / nodes])
    }

    /// C: `MPI_Irecv`, `MPI_Isend`.
    private func post() throws {
        let (source, target) = (piece(outgoing), piece(incoming))
        let destination = step < nodes - 1 ? arrived.elements.baseAddress : target.baseAddress
        let (left, right) = (Int32((rank + nodes - 1) % nodes), Int32((rank + 1) % nodes))
        try check(
            "MPI_Irecv",
            MPI_Irecv(destination, Int32(target.count), cmpi_float(), left, tag, communicator, &requests[0]))
        try check(
            "MPI_Isend",
            MPI_Isend(source.baseAddress, Int32(source.count), cmpi_float(), right, tag, communicator, &requests[1]))
    }
}
