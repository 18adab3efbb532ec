import Foundation

/// A line that shows a person how training goes. On a terminal it is rewritten in place; otherwise a new line is
/// printed now and then.
package final class Progress {
    private let steps: Int
    private let isTerminal: Bool
    private let start = ContinuousClock.now
    private var last: ContinuousClock.Instant?
    /// Images since the last line.
    private var images = 0
    private let firstStep: Int

    package init(steps: Int, from firstStep: Int, isTerminal: Bool) {
        self.steps = steps
        self.firstStep = firstStep
        self.isTerminal = isTerminal
    }

    /// Seconds since this object was made.
    package var seconds: Double { start.duration(to: .now) / .seconds(1) }

    /// Counts a step with its images, and shows the line when it is due: every half second on a terminal, every ten
    /// seconds otherwise, and at the first and last step.
    package func show(step: Int, loss: Double, images count: Int) {
        let now = ContinuousClock.now
        images += count
        let pause: Duration = isTerminal ? .milliseconds(500) : .seconds(10)
        if let last, last.duration(to: now) < pause, step < steps { return }
        let rate = Double(images) / max((last ?? start).duration(to: now) / .seconds(1), 1e-9)
        last = now
        images = 0
        let left = seconds / Double(max(step - firstStep, 1)) * Double(steps - step)
        let text =
            "step \(step)/\(steps)  loss \(String(format: "%.4f", loss))  "
            + "\(String(format: "%.0f", rate)) images/s  \(Self.clock(left)) left"
        print(isTerminal ? "\r\u{1B}[K" + text : text, terminator: isTerminal && step < steps ? "" : "\n")
        fflush(nil)
    }

    /// Ends the line that is rewritten, so that other output can follow.
    package func end() {
        if isTerminal && last != nil { print("") }
    }

    private static func clock(_ seconds: Double) -> String {
        let whole = Int(seconds.rounded())
        return whole >= 3600
            ? String(format: "%d:%02d:%02d", whole / 3600, whole / 60 % 60, whole % 60)
            : String(format: "%d:%02d", whole / 60, whole % 60)
    }

    /// Whether this process's output reaches a terminal. Open MPI gives ranks a terminal of its own. So under mpirun,
    /// the output of the parent process decides.
    package static func reachesTerminal(environment: [String: String]) -> Bool {
        guard environment["OMPI_COMM_WORLD_SIZE"] != nil else { return isatty(STDOUT_FILENO) != 0 }
        let target = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(getppid())/fd/1")
        return target.map { $0.hasPrefix("/dev/pts/") || $0.hasPrefix("/dev/tty") } ?? false
    }
}
