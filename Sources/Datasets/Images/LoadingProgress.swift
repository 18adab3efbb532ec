import Foundation
import Synchronization

/// Reports the progress of decoding image files on standard error every ten seconds, because a million take minutes.
final class LoadingProgress: Sendable {
    private let last = Mutex(ContinuousClock.now)

    func show(_ done: Int, of count: Int) {
        let isDue = last.withLock { last in
            guard last.duration(to: .now) > .seconds(10) else { return false }
            last = .now
            return true
        }
        guard isDue else { return }
        FileHandle.standardError.write(
            Data("dim-dist: \(done) of \(count) image files decoded by rank 0\n".utf8))
    }
}
