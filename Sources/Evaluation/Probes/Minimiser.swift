import CLBFGS

/// Settings that decide when the search for a minimum ends.
package struct MinimiserSettings {
    /// Most steps.
    package var iterations = 200
    /// Ends when |gradient| <= tolerance · max(1, |x|).
    package var tolerance = 1e-4
    /// Ends when ten steps have lowered the value by less than this fraction of it; 0 for never.
    package var smallestDecrease = 1e-4

    package init() {}
}

/// A failed call of libLBFGS.
struct MinimiserError: Error, CustomStringConvertible {
    let status: Int32

    var description: String { "lbfgs failed with status \(status)" }
}

/// A function that returns the value at `x` and sets the whole gradient. Both are as long as the start.
package typealias ValueAndGradient = (
    _ x: UnsafeBufferPointer<Double>, _ gradient: UnsafeMutableBufferPointer<Double>
) throws -> Double

/// Minimises a smooth function by limited-memory BFGS, from `start`. C: `lbfgs`.
///
/// `isOutOfSteps` says that the limit of steps ended the search, not its tolerance. All ranks take the same steps if
/// `evaluate` returns the same bits on each. An error that `evaluate` throws ends the search, and is rethrown.
package func minimise(
    from start: [Double], settings: MinimiserSettings, evaluate: @escaping ValueAndGradient
) throws -> (x: [Double], iterations: Int, isOutOfSteps: Bool) {
    // The library built with SSE needs a multiple of 16 variables, in memory from its own allocator.
    let padded = (start.count + 15) / 16 * 16
    guard let x = lbfgs_malloc(Int32(padded)) else { throw MinimiserError(status: Int32(LBFGSERR_OUTOFMEMORY)) }
    defer { lbfgs_free(x) }
    x.update(repeating: 0, count: padded)
    x.update(from: start, count: start.count)

    var parameters = lbfgs_parameter_t()
    lbfgs_parameter_init(&parameters)
    parameters.m = 10
    parameters.max_iterations = Int32(settings.iterations)
    parameters.epsilon = settings.tolerance
    parameters.past = settings.smallestDecrease > 0 ? 10 : 0
    parameters.delta = settings.smallestDecrease
    let search = Search(count: start.count, evaluate: evaluate)
    let status = lbfgs(
        Int32(padded), x, nil,
        { instance, x, gradient, count, _ in Search.from(instance).evaluate(x, gradient, Int(count)) },
        { instance, _, _, _, _, _, _, _, _, _ in Search.from(instance).countStep() },
        Unmanaged.passUnretained(search).toOpaque(), &parameters)
    if let error = search.error { throw error }
    guard isEnd(status) else { throw MinimiserError(status: status) }
    return (
        Array(UnsafeBufferPointer(start: x, count: start.count)), search.steps,
        Int(status) == LBFGSERR_MAXIMUMITERATION
    )
}

/// Whether the library stopped at the best point it found: converged, out of steps, or unable to find a value that is
/// lower by more than rounding.
private func isEnd(_ status: Int32) -> Bool {
    let ends = [
        LBFGS_SUCCESS, LBFGS_STOP, LBFGS_ALREADY_MINIMIZED,
        LBFGSERR_MAXIMUMITERATION, LBFGSERR_ROUNDING_ERROR, LBFGSERR_MINIMUMSTEP,
        LBFGSERR_MAXIMUMSTEP, LBFGSERR_MAXIMUMLINESEARCH, LBFGSERR_WIDTHTOOSMALL,
        LBFGSERR_INCREASEGRADIENT, LBFGSERR_OUTOFINTERVAL, LBFGSERR_INCORRECT_TMINMAX,
    ]
    return ends.contains(Int(status))
}

/// The object that the C callbacks reach by their untyped pointer.
private final class Search {
    private let count: Int
    private let evaluation: ValueAndGradient
    private(set) var error: (any Error)?
    private(set) var steps = 0

    init(count: Int, evaluate: @escaping ValueAndGradient) {
        self.count = count
        evaluation = evaluate
    }

    static func from(_ instance: UnsafeMutableRawPointer?) -> Search {
        guard let instance else { preconditionFailure("lbfgs lost its instance") }
        return Unmanaged<Search>.fromOpaque(instance).takeUnretainedValue()
    }

    /// The value and gradient. After an error: a value so low that the line search ends at once, and a gradient of 0,
    /// which ends the whole search.
    func evaluate(_ x: UnsafePointer<Double>?, _ gradient: UnsafeMutablePointer<Double>?, _ padded: Int) -> Double {
        let gradient = UnsafeMutableBufferPointer(start: gradient, count: padded)
        if error == nil {
            gradient[count...].update(repeating: 0)
            do {
                return try evaluation(
                    UnsafeBufferPointer(start: x, count: count),
                    UnsafeMutableBufferPointer(rebasing: gradient[..<count]))
            } catch { self.error = error }
        }
        gradient.update(repeating: 0)
        return -1e300
    }

    func countStep() -> Int32 {
        steps += 1
        return 0  // continue
    }
}
