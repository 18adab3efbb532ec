import Synchronization

/// The present activity of a rank, for other threads of its process.
package final class Activity: Sendable {
    package struct State: Sendable {
        /// The present training step.
        package var step = 0
        /// Number of collective calls begun. Ranks in the same call have the same number.
        package fileprivate(set) var calls = 0
        /// The collective call that this rank is in; nil while it computes.
        package fileprivate(set) var call: String?
        /// Time spent in collective calls, which is mostly waiting for other ranks.
        package fileprivate(set) var waited: Duration = .zero
    }

    private let state = Mutex(State())

    package init() {}

    package var now: State { state.withLock { $0 } }

    package func begin(step: Int) { state.withLock { $0.step = step } }

    fileprivate func measure<Result>(_ call: String, _ body: () throws -> Result) rethrows -> Result {
        state.withLock {
            $0.calls += 1
            $0.call = call
        }
        let start = ContinuousClock.now
        defer {
            let time = start.duration(to: .now)
            state.withLock {
                $0.call = nil
                $0.waited += time
            }
        }
        return try body()
    }
}

/// Ranks whose calls are counted and timed where a watchdog sees them.
package final class WatchedRanks: Ranks {
    package let activity = Activity()
    private let ranks: any Ranks

    package init(_ ranks: any Ranks) { self.ranks = ranks }

    package var rank: Int { ranks.rank }
    package var worldSize: Int { ranks.worldSize }
    package var host: String { ranks.host }

    package func barrier() throws { try activity.measure("barrier", ranks.barrier) }

    package func sum(_ values: UnsafeMutableBufferPointer<Float>) throws {
        try activity.measure("sum") { try ranks.sum(values) }
    }

    package func sum(_ values: UnsafeMutableBufferPointer<Double>) throws {
        try activity.measure("sum") { try ranks.sum(values) }
    }

    package func maximum(_ values: UnsafeMutableBufferPointer<Float>) throws {
        try activity.measure("maximum") { try ranks.maximum(values) }
    }

    package func gather(
        _ part: UnsafeRawBufferPointer, counts: [Int], into whole: UnsafeMutableRawBufferPointer
    ) throws {
        try activity.measure("gather") { try ranks.gather(part, counts: counts, into: whole) }
    }

    package func sumScattered(
        _ whole: UnsafeBufferPointer<Float>, counts: [Int], into slice: UnsafeMutableBufferPointer<Float>
    ) throws {
        try activity.measure("sum, scattered") { try ranks.sumScattered(whole, counts: counts, into: slice) }
    }

    package func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from root: Int) throws {
        try activity.measure("broadcast") { try ranks.broadcast(bytes, from: root) }
    }

    package func waiting<Result>(_ name: String, _ body: () throws -> Result) rethrows -> Result {
        try activity.measure(name) { try ranks.waiting(name, body) }
    }

    package func node(sharing once: Int, each: Int) throws -> any Node {
        try activity.measure("sharing of memory") { try ranks.node(sharing: once, each: each) }
    }

    package func abort(status: Int32) -> Never { ranks.abort(status: status) }
}
