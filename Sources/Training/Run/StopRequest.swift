import Foundation
import Synchronization

/// Signals that this process received and that a `StopRequest` watches: bit n for signal n. It is global, because
/// signals belong to the process, and a handler can reach nothing else.
private let received = Atomic<UInt64>(0)

/// Turns the signals that ask a run to stop into a flag that the loop reads between steps. The flag is never cleared.
///
/// To be made on the thread that computes. These signals no longer interrupt that thread: oneDNN's kernels keep data
/// where the system puts a handler's frame, so a handler that interrupts a kernel corrupts memory. Another thread of
/// the process takes the signal, or it stays pending.
package struct StopRequest: Sendable {
    private let signals: [Int32]

    /// - Parameter signals: those to catch, whose default action would end the program at once. Ignored signals stay
    ///   ignored, as `nohup` demands.
    package init(signals: [Int32] = [SIGTERM, SIGUSR1, SIGINT, SIGHUP]) {
        let signals = signals.filter { number in
            var action = sigaction()
            sigaction(number, nil, &action)
            return unsafeBitCast(action.__sigaction_handler, to: Int.self) != unsafeBitCast(SIG_IGN, to: Int.self)
        }
        self.signals = signals
        var set = sigset_t()
        sigemptyset(&set)
        for number in signals { sigaddset(&set, number) }
        pthread_sigmask(SIG_BLOCK, &set, nil)
        for number in signals {
            var action = sigaction()
            action.__sigaction_handler.sa_handler = { received.bitwiseOr(1 << UInt64($0), ordering: .relaxed) }
            action.sa_flags = SA_RESTART
            sigaction(number, &action, nil)
        }
    }

    package var isMade: Bool {
        var pending = sigset_t()
        sigpending(&pending)
        let taken = received.load(ordering: .relaxed)
        return signals.contains { taken & 1 << UInt64($0) != 0 || sigismember(&pending, $0) == 1 }
    }
}
