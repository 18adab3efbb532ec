import COneDNN

/// Fewest elements for each thread. With fewer, starting another thread doesn't pay.
private let leastElements = 1 << 14

/// Runs `body` for parts of `0..<count`, each part once, on the threads of this rank's oneDNN kernels.
///
/// It uses OpenMP's own entry point, because a second pool of threads would compete with oneDNN's for the same cores.
/// - Parameters:
///   - step: parts begin at multiples of it.
///   - elements: elements of memory for each item of `count`.
package func inParallel(_ count: Int, step: Int = 1, elements: Int = 1, _ body: (_ part: Range<Int>) -> Void) {
    let threads = min(Int(omp_get_max_threads()), max(1, count * elements / leastElements))
    guard threads > 1 else { return body(0..<count) }
    withoutActuallyEscaping(body) { body in
        let job = Job(count: count, step: step, body: body)
        withExtendedLifetime(job) {
            GOMP_parallel(
                { Unmanaged<Job>.fromOpaque($0!).takeUnretainedValue().run() },
                Unmanaged.passUnretained(job).toOpaque(), UInt32(threads), 0)
        }
    }
}

/// The sums, in order of the parts, of the arrays of `width` numbers to which `body` adds.
func sumInParallel(
    _ count: Int, width: Int, elements: Int, _ body: (_ part: Range<Int>, _ sums: UnsafeMutablePointer<Double>) -> Void
) -> [Double] {
    let most = max(1, Int(omp_get_max_threads()))
    var sums = [Double](repeating: 0, count: most * width)
    sums.withUnsafeMutableBufferPointer { sums in
        guard let base = sums.baseAddress else { return }
        inParallel(count, elements: elements) { body($0, base + Int(omp_get_thread_num()) * width) }
    }
    return (0..<width).map { i in (0..<most).reduce(0) { $0 + sums[$1 * width + i] } }
}

private final class Job {
    let count: Int
    let step: Int
    let body: (Range<Int>) -> Void

    init(count: Int, step: Int, body: @escaping (Range<Int>) -> Void) {
        self.count = count
        self.step = step
        self.body = body
    }

    /// Runs the part of the calling thread.
    func run() {
        let (thread, threads) = (Int(omp_get_thread_num()), Int(omp_get_num_threads()))
        let steps = (count + step - 1) / step
        let (start, end) = (steps * thread / threads * step, min(count, steps * (thread + 1) / threads * step))
        if start < end { body(start..<end) }
    }
}
