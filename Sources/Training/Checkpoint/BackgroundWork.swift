import Foundation
import Synchronization

/// Work on a thread of its own.
final class BackgroundWork<Success: Sendable>: Sendable {
    private let outcome = Mutex<Result<Success, any Error>?>(nil)
    private let end = DispatchSemaphore(value: 0)

    init(_ name: String, _ work: @escaping @Sendable () throws -> Success) {
        let thread = Thread { [self] in
            let result = Result { try work() }
            outcome.withLock { $0 = result }
            end.signal()
        }
        thread.name = name
        thread.start()
    }

    var isDone: Bool { outcome.withLock { $0 != nil } }

    /// Waits for the end, or for this number of seconds. Returns whether it is done.
    @discardableResult
    func wait(atMost seconds: Double) -> Bool {
        guard end.wait(timeout: .now() + seconds) == .success else { return false }
        end.signal()
        return true
    }

    /// Waits for the end, and returns the work's result or throws its error.
    func wait() throws -> Success {
        end.wait()
        end.signal()  // for the next caller
        return try outcome.withLock { $0! }.get()
    }
}
