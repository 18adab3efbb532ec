import CMPI
import Collectives
import Foundation

/// A failed MPI call.
package struct MPIError: Error, CustomStringConvertible {
    /// The C function that failed.
    package let call: StaticString
    package let code: Int32

    package var description: String {
        var text = [CChar](repeating: 0, count: Int(MPI_MAX_ERROR_STRING))
        var length: Int32 = 0
        MPI_Error_string(code, &text, &length)
        let message = String(decoding: text.prefix(Int(length)).map(UInt8.init(bitPattern:)), as: UTF8.self)
        return "\(call) failed: \(message)"
    }
}

/// The ranks of an MPI job. There is one value in a process; only one thread at a time may call it
/// (`MPI_THREAD_SERIALIZED`).
package final class MPIRanks: Ranks {
    package let rank: Int
    package let worldSize: Int
    package let host = ProcessInfo.processInfo.hostName
    private let communicator: MPI_Comm
    private var nodes: [MPINode] = []
    /// Most ranks that may share memory; nil for any number. With it, tests have several nodes on one machine.
    package var largestNode: Int?

    /// Starts MPI. Throws `InputError` when the launcher started several processes and MPI connects only one.
    /// C: `MPI_Init_thread`, `MPI_Comm_dup`.
    package init() throws {
        var provided: Int32 = 0
        try check("MPI_Init_thread", MPI_Init_thread(nil, nil, Int32(MPI_THREAD_SERIALIZED), &provided))
        guard provided >= Int32(MPI_THREAD_SERIALIZED) else {
            throw InputError(
                "the MPI library has thread level \(provided), but MPI_THREAD_SERIALIZED (\(MPI_THREAD_SERIALIZED)) "
                    + "is needed: use a library built with thread support")
        }
        var own: MPI_Comm? = nil
        try check("MPI_Comm_dup", MPI_Comm_dup(cmpi_world(), &own))
        communicator = own!
        try check("MPI_Comm_set_errhandler", MPI_Comm_set_errhandler(communicator, cmpi_errors_return()))
        var value: Int32 = 0
        try check("MPI_Comm_rank", MPI_Comm_rank(communicator, &value))
        rank = Int(value)
        try check("MPI_Comm_size", MPI_Comm_size(communicator, &value))
        worldSize = Int(value)
        try Launcher.checkWorldSize(worldSize, environment: ProcessInfo.processInfo.environment)
    }

    /// The library's name and version, such as `Open MPI v4.1.4`. C: `MPI_Get_library_version`.
    package static var library: String {
        var text = [CChar](repeating: 0, count: Int(MPI_MAX_LIBRARY_VERSION_STRING))
        var length: Int32 = 0
        guard MPI_Get_library_version(&text, &length) == MPI_SUCCESS else { return "MPI of an unknown version" }
        let whole = String(decoding: text.prefix(Int(length)).map(UInt8.init(bitPattern:)), as: UTF8.self)
        return String(whole.prefix { $0 != "," && $0 != "\n" })
    }

    /// Ends MPI; no call may follow. C: `MPI_Finalize`.
    package func finalize() throws {
        Launcher.waitUntilOutputIsRead()
        for node in nodes { try node.free() }
        try check("MPI_Finalize", MPI_Finalize())
    }

    /// C: `MPI_Comm_split_type`, `MPI_COMM_TYPE_SHARED`.
    package func node(sharing once: Int, each: Int) throws -> any Node {
        var machine: MPI_Comm? = nil
        try check(
            "MPI_Comm_split_type",
            MPI_Comm_split_type(
                communicator, Int32(MPI_COMM_TYPE_SHARED), Int32(rank), cmpi_no_info(), &machine))
        if let largestNode {
            var part: MPI_Comm? = nil
            try check("MPI_Comm_split", MPI_Comm_split(machine, Int32(rank / largestNode), Int32(rank), &part))
            machine = part
        }
        let node = try MPINode(machine!, in: communicator)
        guard node.owners > 1 else { return try standAlone(note: nil) }
        // The first rank of each machine checks, before any rank takes memory.
        let needed = once + node.size * each
        let lacking = try gather(node.index == 0 && needed > MPINode.freeBytes ? needed : 0).max() ?? 0
        guard lacking == 0 else {
            return try standAlone(
                note:
                    "ranks exchange gradients by messages, which is slower, because \(MPINode.sharedMemoryFolder) of "
                    + "a machine has less than the \(lacking >> 20) MiB free that they need (docker run --shm-size)")
        }
        return try connected(node)
    }

    /// A node of this rank only. Collective. C: `MPI_Comm_split`.
    private func standAlone(note: String?) throws -> MPINode {
        var own: MPI_Comm? = nil
        try check("MPI_Comm_split", MPI_Comm_split(communicator, Int32(rank), 0, &own))
        return try connected(try MPINode(own!, in: communicator, note: note))
    }

    private func connected(_ node: MPINode) throws -> MPINode {
        try node.connect(in: communicator)
        nodes.append(node)
        return node
    }

    /// C: `MPI_Barrier`.
    package func barrier() throws { try check("MPI_Barrier", MPI_Barrier(communicator)) }

    /// C: `MPI_Allreduce`, `MPI_SUM`.
    package func sum(_ values: UnsafeMutableBufferPointer<Float>) throws {
        try reduce(values, cmpi_float(), cmpi_sum())
    }

    /// C: `MPI_Allreduce`, `MPI_SUM`.
    package func sum(_ values: UnsafeMutableBufferPointer<Double>) throws {
        try reduce(values, cmpi_double(), cmpi_sum())
    }

    /// C: `MPI_Allreduce`, `MPI_MAX`.
    package func maximum(_ values: UnsafeMutableBufferPointer<Float>) throws {
        try reduce(values, cmpi_float(), cmpi_maximum())
    }

    /// C: `MPI_Allreduce`, or `MPI_Iallreduce` where sums over nodes may be under way.
    private func reduce<Element>(
        _ values: UnsafeMutableBufferPointer<Element>, _ type: MPI_Datatype, _ operation: MPI_Op
    ) throws {
        // A blocking sum would stop sums over nodes that wait for their next message. All ranks must choose the same
        // call, so the choice doesn't depend on whether any sum is under way here.
        let exchanges = nodes.compactMap(\.exchange)
        guard !exchanges.isEmpty && values.count <= mostPolled else {
            return try allreduce(values, type, operation, communicator)
        }
        var request: MPI_Request? = nil
        try check(
            "MPI_Iallreduce",
            MPI_Iallreduce(
                cmpi_in_place(), values.baseAddress, Int32(values.count), type, operation, communicator, &request))
        var isDone: Int32 = 0
        while isDone == 0 {
            for exchange in exchanges { _ = try exchange.progress() }
            try check("MPI_Test", MPI_Test(&request, &isDone, nil))
        }
    }

    /// C: `MPI_Allgatherv`.
    package func gather(
        _ part: UnsafeRawBufferPointer, counts: [Int], into whole: UnsafeMutableRawBufferPointer
    ) throws {
        let (counts, offsets) = try cCounts(counts, call: "MPI_Allgatherv")
        try check(
            "MPI_Allgatherv",
            MPI_Allgatherv(
                part.baseAddress, counts[rank], cmpi_byte(), whole.baseAddress, counts, offsets, cmpi_byte(),
                communicator))
    }

    /// C: `MPI_Reduce_scatter`, `MPI_SUM`.
    package func sumScattered(
        _ whole: UnsafeBufferPointer<Float>, counts: [Int], into slice: UnsafeMutableBufferPointer<Float>
    ) throws {
        let (counts, _) = try cCounts(counts, call: "MPI_Reduce_scatter")
        try check(
            "MPI_Reduce_scatter",
            MPI_Reduce_scatter(
                whole.baseAddress, slice.baseAddress, counts, cmpi_float(), cmpi_sum(), communicator))
    }

    /// C: `MPI_Bcast`.
    package func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from root: Int) throws {
        for start in stride(from: 0, to: bytes.count, by: largestCount) {
            let count = min(largestCount, bytes.count - start)
            try check(
                "MPI_Bcast",
                MPI_Bcast(bytes.baseAddress! + start, Int32(count), cmpi_byte(), Int32(root), communicator))
        }
    }

    /// C: `MPI_Abort`.
    package func abort(status: Int32) -> Never {
        Launcher.waitUntilOutputIsRead()
        MPI_Abort(cmpi_world(), status)
        exit(status)
    }

    private func cCounts(_ counts: [Int], call: StaticString) throws -> (counts: [Int32], offsets: [Int32]) {
        var offsets: [Int32] = []
        var total = 0
        for count in counts {
            offsets.append(Int32(truncatingIfNeeded: total))
            total += count
        }
        guard total <= Int(Int32.max) else {
            throw InputError(
                "\(call) of \(total) elements is too large, at most \(Int32.max) fit one call: use a smaller batch or "
                    + "fewer units")
        }
        return (counts.map(Int32.init), offsets)
    }
}

/// Most elements of a call, whose count is a C int. Larger buffers take several calls.
private let largestCount = 1 << 28

/// C: `MPI_Allreduce`, in place.
private func allreduce<Element>(
    _ values: UnsafeMutableBufferPointer<Element>, _ type: MPI_Datatype, _ operation: MPI_Op, _ communicator: MPI_Comm
) throws {
    for start in stride(from: 0, to: values.count, by: largestCount) {
        let count = min(largestCount, values.count - start)
        try check(
            "MPI_Allreduce",
            MPI_Allreduce(cmpi_in_place(), values.baseAddress! + start, Int32(count), type, operation, communicator))
    }
}

/// Most elements of a polled sum. Larger sums are blocking, because Open MPI's non-blocking sums send more bytes.
private let mostPolled = 1 << 16

/// Throws when an MPI call did not return `MPI_SUCCESS`.
func check(_ call: StaticString, _ code: Int32) throws {
    guard code == MPI_SUCCESS else { throw MPIError(call: call, code: code) }
}
