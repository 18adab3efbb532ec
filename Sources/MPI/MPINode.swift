import CMPI
import Collectives
import Foundation

/// The ranks of one machine, with memory that MPI maps into all of them; or a single rank, with its own memory.
final class MPINode: Node {
    let index: Int
    let size: Int
    let owners: Int
    let nodes: Int
    let note: String?
    private(set) var exchange: (any NodeExchange)?
    private(set) var standsForOwners: Bool
    /// Communicator of the ranks of this machine.
    private let machine: MPI_Comm
    private var windows: [MPI_Win] = []
    private var blocks: [FloatBlock] = []
    static let sharedMemoryFolder = "/dev/shm"

    /// Collective over `world`.
    /// - Parameters:
    ///   - machine: the ranks of this rank's machine. It belongs to this object from now on.
    init(_ machine: MPI_Comm, in world: MPI_Comm, note: String? = nil) throws {
        self.machine = machine
        self.note = note
        try check("MPI_Comm_set_errhandler", MPI_Comm_set_errhandler(machine, cmpi_errors_return()))
        var value: Int32 = 0
        try check("MPI_Comm_rank", MPI_Comm_rank(machine, &value))
        index = Int(value)
        try check("MPI_Comm_size", MPI_Comm_size(machine, &value))
        size = Int(value)
        try check("MPI_Allreduce", MPI_Allreduce(cmpi_in_place(), &value, 1, cmpi_int(), cmpi_minimum(), world))
        owners = Int(value)
        value = index == 0 ? 1 : 0
        try check("MPI_Allreduce", MPI_Allreduce(cmpi_in_place(), &value, 1, cmpi_int(), cmpi_sum(), world))
        nodes = Int(value)
        standsForOwners = index < owners
    }

    /// Prepares sums over nodes, if there are several. Collective over `world`.
    func connect(in world: MPI_Comm) throws {
        guard nodes > 1 else { return }
        var rank: Int32 = 0
        try check("MPI_Comm_rank", MPI_Comm_rank(world, &rank))
        var slice: MPI_Comm? = nil
        try check(
            "MPI_Comm_split",
            MPI_Comm_split(world, index < owners ? Int32(index) : Int32(MPI_UNDEFINED), rank, &slice))
        if index >= owners { slice = nil }
        if let slice {
            try check("MPI_Comm_set_errhandler", MPI_Comm_set_errhandler(slice, cmpi_errors_return()))
            try check("MPI_Comm_rank", MPI_Comm_rank(slice, &rank))
            standsForOwners = rank == 0
        }
        exchange = try MPIExchange(over: slice, nodes: nodes, index: index, counters: memory(2))
    }

    /// Free bytes of this machine's shared memory.
    static var freeBytes: Int {
        var space = statvfs()
        guard statvfs(sharedMemoryFolder, &space) == 0 else { return 0 }
        return Int(space.f_bavail) * Int(space.f_frsize)
    }

    /// C: `MPI_Win_allocate_shared`, `MPI_Win_shared_query`.
    func memory(_ count: Int) throws -> [UnsafeMutableBufferPointer<Float>] {
        guard size > 1 else {
            blocks.append(FloatBlock(count))
            return [blocks[blocks.count - 1].elements]
        }
        var own: UnsafeMutableRawPointer? = nil
        var window: MPI_Win? = nil
        // Whole cache lines, so that the arrays of two ranks never share one.
        let bytes = (count * 4 + 63) / 64 * 64
        try withUnsafeMutablePointer(to: &own) {
            try check(
                "MPI_Win_allocate_shared",
                MPI_Win_allocate_shared(MPI_Aint(bytes), 4, cmpi_no_info(), machine, $0, &window))
        }
        guard let window else { return [] }
        windows.append(window)
        try check("MPI_Win_lock_all", MPI_Win_lock_all(Int32(MPI_MODE_NOCHECK), window))
        own?.initializeMemory(as: Float.self, repeating: 0, count: count)
        var counts = [Int](repeating: 0, count: size)
        var mine = count
        try check("MPI_Allgather", MPI_Allgather(&mine, 8, cmpi_byte(), &counts, 8, cmpi_byte(), machine))
        try meet()
        return try counts.enumerated().map { index, count in
            var (bytes, unit): (MPI_Aint, Int32) = (0, 0)
            var start: UnsafeMutableRawPointer? = nil
            try withUnsafeMutablePointer(to: &start) {
                try check("MPI_Win_shared_query", MPI_Win_shared_query(window, Int32(index), &bytes, &unit, $0))
            }
            return UnsafeMutableBufferPointer(
                start: start?.bindMemory(to: Float.self, capacity: count), count: count)
        }
    }

    /// C: `MPI_Win_sync`, `MPI_Barrier`.
    func meet() throws {
        for window in windows { try check("MPI_Win_sync", MPI_Win_sync(window)) }
        try check("MPI_Barrier", MPI_Barrier(machine))
        for window in windows { try check("MPI_Win_sync", MPI_Win_sync(window)) }
    }

    /// Frees the memory. Collective over the machine; nothing may use it afterwards.
    func free() throws {
        for var window in windows as [MPI_Win?] {
            try check("MPI_Win_unlock_all", MPI_Win_unlock_all(window))
            try check("MPI_Win_free", MPI_Win_free(&window))
        }
        windows = []
    }
}
