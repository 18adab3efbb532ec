import Foundation
import Synchronization

/// Work on the images of a rank that may take minutes.
package enum LoadingStage: Sendable {
    /// Image files.
    case decoding
    /// Whether mapped floats are finite.
    case checking
    /// Statistics of mapped images.
    case counting

    fileprivate var phrase: String {
        switch self {
        case .decoding: "image files decoded"
        case .checking: "samples checked for numbers that aren't finite"
        case .counting: "samples read for mean and deviation"
        }
    }
}

/// Reports the progress of loading on standard error every ten seconds, because a million images take minutes.
package final class LoadingProgress: Sendable {
    private let last = Mutex(ContinuousClock.now)

    package init() {}

    @Sendable package func report(_ stage: LoadingStage, _ done: Int, of count: Int) {
        let isDue = last.withLock { last in
            guard last.duration(to: .now) > .seconds(10) else { return false }
            last = .now
            return true
        }
        guard isDue else { return }
        FileHandle.standardError.write(Data("dim-dist: \(done) of \(count) \(stage.phrase) by rank 0\n".utf8))
    }
}
