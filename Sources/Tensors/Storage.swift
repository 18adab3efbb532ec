import Foundation

/// Blocks of aligned memory, kept for the next tensor of that size instead of being returned to the system.
package final class MemoryPool {
    /// Blocks requested from the system so far. The number is constant as soon as every size that a step needs has
    /// occurred.
    package private(set) var systemAllocations = 0
    /// Bytes of living tensors.
    package private(set) var bytesInUse = 0
    /// The most bytes in use at one time since the start or the last `resetPeak`.
    package private(set) var peakBytes = 0
    private var free: [Int: [UnsafeMutableRawPointer]] = [:]

    /// Starts a new measurement of `peakBytes`.
    package func resetPeak() { peakBytes = bytesInUse }

    /// Counts memory from elsewhere, which stays, as bytes in use.
    package func countForeign(bytes: Int) {
        bytesInUse += bytes
        peakBytes = max(peakBytes, bytesInUse)
    }

    /// Block sizes are multiples of a sixteenth of a power of two: little is wasted, and similar sizes use the same
    /// blocks.
    private static func blockSize(_ bytes: Int) -> Int {
        let bytes = max(bytes, 64)
        let step = max(64, (1 << (Int.bitWidth - bytes.leadingZeroBitCount - 1)) / 16)
        return (bytes + step - 1) / step * step
    }

    func take(_ bytes: Int) -> UnsafeMutableRawPointer {
        let size = Self.blockSize(bytes)
        bytesInUse += size
        peakBytes = max(peakBytes, bytesInUse)
        if let block = free[size]?.popLast() { return block }
        systemAllocations += 1
        guard let block = aligned_alloc(64, size) else { fatalError("out of memory: a tensor of \(size) bytes") }
        return block
    }

    func give(_ block: UnsafeMutableRawPointer, _ bytes: Int) {
        let size = Self.blockSize(bytes)
        bytesInUse -= size
        free[size, default: []].append(block)
    }

    /// Returns unused blocks to the system, when other sizes come next.
    package func trim() {
        for block in free.values.joined() { Foundation.free(block) }
        free = [:]
    }

    deinit { for block in free.values.joined() { Foundation.free(block) } }
}

/// Elements that tensors share. They go back to the pool with the last tensor.
final class Storage {
    let pool: MemoryPool
    let base: UnsafeMutablePointer<Float>
    let count: Int
    /// The owner of the memory, if it isn't the pool's.
    private let owner: AnyObject?

    init(_ pool: MemoryPool, count: Int) {
        self.pool = pool
        self.count = count
        owner = nil
        base = pool.take(count * 4).bindMemory(to: Float.self, capacity: max(count, 1))
    }

    /// Memory of another object, which is kept alive.
    init(_ pool: MemoryPool, base: UnsafeMutablePointer<Float>, count: Int, of owner: AnyObject) {
        self.pool = pool
        self.base = base
        self.count = count
        self.owner = owner
    }

    deinit { if owner == nil { pool.give(base, count * 4) } }
}
