import Foundation

/// A thread's failure, as seen by the threads that waited for it.
package struct ThreadFailure: Error, CustomStringConvertible {
    package let description = "another rank has failed"
}

/// Threads of one process as ranks. One debugger sees them all, and tests need no MPI.
package final class ThreadRank: Ranks {
    package let rank: Int
    package var worldSize: Int { meeting.worldSize }
    package let host = ProcessInfo.processInfo.hostName
    private let meeting: Meeting

    private init(rank: Int, meeting: Meeting) {
        self.rank = rank
        self.meeting = meeting
    }

    /// Runs `body` on `worldSize` threads, each with its own rank. When all have ended, returns the results of all
    /// bodies, in rank order.
    ///
    /// A rank that throws releases the ranks that wait for it. Throws the error of the rank that failed first.
    @discardableResult
    package static func run<Result: Sendable>(
        _ worldSize: Int, _ body: @escaping @Sendable (any Ranks) throws -> Result
    ) throws -> [Result] {
        let meeting = Meeting(worldSize: worldSize)
        let results = Results<Result>()
        let threads = (0..<worldSize).map { rank in
            let thread = Thread {
                do {
                    results.add(try body(ThreadRank(rank: rank, meeting: meeting)), of: rank)
                } catch { meeting.fail(error) }
                meeting.leave()
            }
            thread.name = "rank \(rank)"
            thread.stackSize = 16 << 20
            return thread
        }
        for thread in threads { thread.start() }
        if let error = meeting.waitForAll() { throw error }
        return results.inOrder
    }

    package func barrier() throws { try meeting.arrive() }

    package func sum(_ values: UnsafeMutableBufferPointer<Float>) throws { try combine(values) { $0 + $1 } }
    package func sum(_ values: UnsafeMutableBufferPointer<Double>) throws { try combine(values) { $0 + $1 } }
    package func maximum(_ values: UnsafeMutableBufferPointer<Float>) throws { try combine(values) { max($0, $1) } }

    /// Each rank combines its own slice in rank order and writes the result to all.
    private func combine<Element>(
        _ values: UnsafeMutableBufferPointer<Element>, _ operation: (Element, Element) -> Element
    ) throws {
        let all = try meeting.exchange(UnsafeMutableRawBufferPointer(values), rank: rank).map {
            $0.bindMemory(to: Element.self)
        }
        let slice = (values.count * rank / worldSize)..<(values.count * (rank + 1) / worldSize)
        for i in slice {
            var result = all[0][i]
            for other in all.dropFirst() { result = operation(result, other[i]) }
            for other in all { other[i] = result }
        }
        try meeting.arrive()
    }

    package func gather(
        _ part: UnsafeRawBufferPointer, counts: [Int], into whole: UnsafeMutableRawBufferPointer
    ) throws {
        let all = try meeting.exchange(UnsafeMutableRawBufferPointer(mutating: part), rank: rank)
        var offset = 0
        for (part, count) in zip(all, counts) {
            UnsafeMutableRawBufferPointer(rebasing: whole[offset..<offset + count]).copyMemory(
                from: UnsafeRawBufferPointer(rebasing: part[0..<count]))
            offset += count
        }
        try meeting.arrive()
    }

    package func sumScattered(
        _ whole: UnsafeBufferPointer<Float>, counts: [Int], into slice: UnsafeMutableBufferPointer<Float>
    ) throws {
        let raw = UnsafeMutableRawBufferPointer(mutating: UnsafeRawBufferPointer(whole))
        let all = try meeting.exchange(raw, rank: rank).map { $0.bindMemory(to: Float.self) }
        let first = counts[..<rank].reduce(0, +)
        for i in 0..<counts[rank] {
            var result = all[0][first + i]
            for other in all.dropFirst() { result += other[first + i] }
            slice[i] = result
        }
        try meeting.arrive()
    }

    package func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from root: Int) throws {
        let all = try meeting.exchange(bytes, rank: rank)
        if rank != root { bytes.copyMemory(from: UnsafeRawBufferPointer(all[root])) }
        try meeting.arrive()
    }

    /// One node of all threads, which share everything.
    package func node(sharing once: Int, each: Int) throws -> any Node { ThreadNode(self) }

    package func abort(status: Int32) -> Never { exit(status) }

    /// An array of each thread, kept as long as the world lives.
    fileprivate func shared(_ count: Int) throws -> [UnsafeMutableBufferPointer<Float>] {
        let all = try meeting.exchange(UnsafeMutableRawBufferPointer(meeting.memory(count)), rank: rank)
        let arrays = all.map { $0.bindMemory(to: Float.self) }
        try meeting.arrive()
        return arrays
    }
}

/// The results of threads.
private final class Results<Result: Sendable>: @unchecked Sendable {  // read and written under `lock`
    private let lock = NSLock()
    private var values: [Int: Result] = [:]

    func add(_ value: Result, of rank: Int) { lock.withLock { values[rank] = value } }

    var inOrder: [Result] { lock.withLock { values.sorted { $0.key < $1.key }.map(\.value) } }
}

/// The threads of a process, as ranks of one node.
private final class ThreadNode: Node {
    private let ranks: ThreadRank
    init(_ ranks: ThreadRank) { self.ranks = ranks }

    var index: Int { ranks.rank }
    var size: Int { ranks.worldSize }
    var owners: Int { ranks.worldSize }
    let nodes = 1

    func memory(_ count: Int) throws -> [UnsafeMutableBufferPointer<Float>] {
        try ranks.shared(count)
    }

    func meet() throws { try ranks.barrier() }
}

/// The point where the threads of one world wait for each other, and exchange pointers to their buffers.
private final class Meeting: @unchecked Sendable {  // every stored property is read and written under `condition`
    let worldSize: Int
    private let condition = NSCondition()
    private var arrived = 0
    private var round = 0
    private var left = 0
    private var failure: (any Error)?
    private var buffers: [UnsafeMutableRawBufferPointer]
    private var blocks: [FloatBlock] = []

    init(worldSize: Int) {
        self.worldSize = worldSize
        buffers = Array(repeating: UnsafeMutableRawBufferPointer(start: nil, count: 0), count: worldSize)
    }

    func arrive() throws {
        condition.lock()
        defer { condition.unlock() }
        if failure != nil { throw ThreadFailure() }
        let mine = round
        arrived += 1
        if arrived == worldSize {
            arrived = 0
            round += 1
            condition.broadcast()
        }
        while round == mine && failure == nil { condition.wait() }
        if round == mine { throw ThreadFailure() }
    }

    /// Every rank's buffer, valid until the next `arrive`.
    func exchange(_ buffer: UnsafeMutableRawBufferPointer, rank: Int) throws -> [UnsafeMutableRawBufferPointer] {
        condition.withLock { buffers[rank] = buffer }
        try arrive()
        return condition.withLock { buffers }
    }

    /// An array that lives as long as this meeting.
    func memory(_ count: Int) -> UnsafeMutableBufferPointer<Float> {
        let block = FloatBlock(count)
        condition.withLock { blocks.append(block) }
        return block.elements
    }

    func fail(_ error: any Error) {
        condition.withLock {
            if failure == nil { failure = error }
            condition.broadcast()
        }
    }

    func leave() {
        condition.withLock {
            left += 1
            condition.broadcast()
        }
    }

    func waitForAll() -> (any Error)? {
        condition.lock()
        defer { condition.unlock() }
        while left < worldSize { condition.wait() }
        return failure
    }
}
