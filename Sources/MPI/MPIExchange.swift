import CMPI
import Collectives

/// Sums over nodes as rings of messages, which `progress` moves on.
///
/// It isn't `MPI_Iallreduce`, because Open MPI's sends two to six times the bytes where it works in place. There is no
/// thread, because one that waits for messages takes half of the computing core.
final class MPIExchange: NodeExchange {
    /// Communicator of the slice's owners, one on each node; nil where this rank owns none.
    private let communicator: MPI_Comm?
    private let nodes: Int
    private let index: Int
    private let counters: [UnsafeMutablePointer<Int64>]
    /// Rings by their index, in the order in which they start.
    private var rings: [RingSum] = []
    /// Bytes sent minus bytes received.
    private var ahead = 0

    /// Most bytes on their way. Messages after them for which ranks wait, such as a batch norm's sums, then arrive soon.
    private static let window = 1 << 20

    /// - Parameter counters: 8 bytes for each rank of this node, which all of them see; 0 at the start.
    init(over communicator: MPI_Comm?, nodes: Int, index: Int, counters: [UnsafeMutableBufferPointer<Float>]) {
        self.communicator = communicator
        self.nodes = nodes
        self.index = index
        self.counters = counters.map { UnsafeMutableRawPointer($0.baseAddress!).assumingMemoryBound(to: Int64.self) }
    }

    func announce(_ amount: Int) { cmpi_publish(counters[index], Int64(amount)) }

    var announcedByAll: Int { Int(counters.map { cmpi_published($0) }.min() ?? 0) }

    func start(_ values: UnsafeMutableBufferPointer<Float>, index: Int, in precision: Precision) throws {
        guard let communicator, !values.isEmpty else { return }
        while rings.count <= index {
            rings.append(try RingSum(over: communicator, nodes: nodes, tag: rings.count))
        }
        try rings[index].start(values, in: precision)
        _ = try progress()
    }

    func progress() throws -> Bool {
        var isDone = true
        for ring in rings where !ring.isDone {
            // The first ring that isn't done always continues; otherwise ranks could wait for each other's windows.
            try ring.progress(&ahead, window: Self.window, isFirst: isDone)
            if !ring.isDone { isDone = false }
        }
        // Slices differ by one element where the number of ranks doesn't divide a sum, and a rank sends other slices
        // than it receives.
        if isDone { ahead = 0 }
        return isDone
    }
}

/// A sum over ranks in a ring. Each rank sends 2(P - 1)/P of the values, which is the minimum (Patarasuk & Yuan 2009).
///
/// First each slice travels round the ring and adds up every rank's part. Then the finished slices travel round once
/// more. A slice is added up in one order and copied, so all ranks have the same bits. In bfloat16 a slice is rounded
/// when it leaves a rank, and when it is finished; to round it again on the second way changes nothing.
private final class RingSum {
    private let communicator: MPI_Comm
    private let rank: Int
    private let nodes: Int
    private let tag: Int32
    private var values = UnsafeMutableBufferPointer<Float>(start: nil, count: 0)
    /// In which numbers slices travel.
    private var precision = Precision.float32
    /// The slice that arrives, as it travels; unused where it arrives in its place.
    private let arriving = MessageMemory()
    /// The slice that leaves, in bfloat16.
    private let leaving = MessageMemory()
    /// Number of slices that are finished, in 0...2(P - 1).
    private var step: Int
    private var receiving = Requests()
    private var sending = Requests()
    private var unsent = 0..<0

    /// Bytes of a message. It is just small enough for Open MPI to send it at once over TCP. Larger messages are
    /// announced first. The answer would wait for messages in the other direction, so that a link would carry one
    /// direction at a time.
    private static let messageSize = 60 << 10

    init(over communicator: MPI_Comm, nodes: Int, tag: Int) throws {
        self.communicator = communicator
        self.nodes = nodes
        self.tag = Int32(tag)
        var value: Int32 = 0
        try check("MPI_Comm_rank", MPI_Comm_rank(communicator, &value))
        rank = Int(value)
        step = 2 * (nodes - 1)
    }

    var isDone: Bool { step == 2 * (nodes - 1) }
    /// Whether slices are still added up; later they are copied.
    private var isAdding: Bool { step < nodes - 1 }

    func start(_ values: UnsafeMutableBufferPointer<Float>, in precision: Precision) throws {
        precondition(isDone, "a sum that is still under way")
        self.values = values
        self.precision = precision
        let largest = (values.count + nodes - 1) / nodes * precision.bytes
        arriving.grow(to: largest)
        if precision == .bfloat16 { leaving.grow(to: largest) }
        step = 0
        try receive()
    }

    /// Sends as much as the window allows, and adds what has arrived.
    /// - Parameters:
    ///   - ahead: bytes sent minus bytes received.
    ///   - window: the limit of `ahead`.
    ///   - isFirst: whether one message at a time may be sent beyond the window.
    func progress(_ ahead: inout Int, window: Int, isFirst: Bool) throws {
        while !isDone {
            ahead -= try receiving.test()
            _ = try sending.test()
            while !unsent.isEmpty && (ahead < window || isFirst && sending.isEmpty) { ahead += try send() }
            guard receiving.isEmpty && sending.isEmpty && unsent.isEmpty else { return }
            take()
            step += 1
            if !isDone { try receive() }
        }
    }

    /// Indices of the slices that this step sends and receives.
    private var outgoing: Int { isAdding ? rank - step : rank + 1 - (step - (nodes - 1)) }
    private var incoming: Int { outgoing - 1 }

    private func slice(_ index: Int) -> UnsafeMutableBufferPointer<Float> {
        let i = (index % nodes + nodes) % nodes
        return UnsafeMutableBufferPointer(rebasing: values[values.count * i / nodes..<values.count * (i + 1) / nodes])
    }

    /// Takes the step's slice, which has arrived.
    private func take() {
        let target = slice(incoming)
        switch precision {
        case .float32 where isAdding:
            let arrived = arriving.memory.bindMemory(to: Float.self)
            for i in target.indices { target[i] += arrived[i] }
        case .float32: break  // it arrived in its place
        case .bfloat16:
            let arrived = arriving.memory.bindMemory(to: UInt16.self).baseAddress!
            guard isAdding else { return target.set(toBFloat16: arrived) }
            target.add(bfloat16: arrived)
            let isFinished = step == nodes - 2
            if isFinished { target.round() }
        }
    }

    /// Starts receiving the step's slice. C: `MPI_Irecv`.
    private func receive() throws {
        let target = slice(incoming)
        let arrivesInPlace = precision == .float32 && !isAdding
        let destination = arrivesInPlace ? UnsafeMutableRawBufferPointer(target) : arriving.memory
        let bytes = target.count * precision.bytes
        unsent = 0..<slice(outgoing).count
        for start in stride(from: 0, to: bytes, by: Self.messageSize) {
            let count = min(Self.messageSize, bytes - start)
            try receiving.add(count) {
                try check(
                    "MPI_Irecv",
                    MPI_Irecv(
                        destination.baseAddress! + start, Int32(count), cmpi_byte(),
                        Int32((rank + nodes - 1) % nodes), tag, communicator, &$0))
            }
        }
    }

    /// Sends the next message; returns its bytes. C: `MPI_Isend`.
    private func send() throws -> Int {
        let part = unsent.prefix(Self.messageSize / precision.bytes)
        let numbers = UnsafeMutableBufferPointer(rebasing: slice(outgoing)[part])
        let start: UnsafeMutableRawPointer
        switch precision {
        case .float32: start = UnsafeMutableRawPointer(numbers.baseAddress!)
        case .bfloat16:
            let rounded = leaving.memory.bindMemory(to: UInt16.self).baseAddress! + part.lowerBound
            numbers.round(into: rounded)
            start = UnsafeMutableRawPointer(rounded)
        }
        let count = part.count * precision.bytes
        try sending.add(count) {
            try check(
                "MPI_Isend",
                MPI_Isend(start, Int32(count), cmpi_byte(), Int32((rank + 1) % nodes), tag, communicator, &$0))
        }
        unsent = part.upperBound..<unsent.upperBound
        return count
    }
}

/// Memory of a slice under way, as much as the largest one has needed.
private final class MessageMemory {
    private(set) var memory = UnsafeMutableRawBufferPointer(start: nil, count: 0)

    /// Makes room for this many bytes; what was there is lost.
    func grow(to count: Int) {
        guard memory.count < count else { return }
        memory.deallocate()
        memory = .allocate(byteCount: count, alignment: 64)
    }

    deinit { memory.deallocate() }
}

/// Messages under way.
private struct Requests {
    private var handles: [MPI_Request?] = []
    private var sizes: [Int] = []
    private var indices: [Int32] = []

    var isEmpty: Bool { handles.isEmpty }

    mutating func add(_ size: Int, _ post: (inout MPI_Request?) throws -> Void) rethrows {
        var request: MPI_Request? = nil
        try post(&request)
        handles.append(request)
        sizes.append(size)
    }

    /// Forgets finished messages, and returns the sum of their sizes. C: `MPI_Testsome`.
    mutating func test() throws -> Int {
        guard !isEmpty else { return 0 }
        if indices.count < handles.count { indices = Array(repeating: 0, count: handles.count) }
        var count: Int32 = 0
        try check("MPI_Testsome", MPI_Testsome(Int32(handles.count), &handles, &count, &indices, nil))
        guard count > 0 else { return 0 }
        let through = indices[..<Int(count)].map(Int.init).sorted(by: >)
        var total = 0
        for index in through {
            total += sizes.remove(at: index)
            handles.remove(at: index)
        }
        return total
    }
}
