import COneDNN

/// Work in one thread or all; below this many elements a thread more isn't worth starting.
private let smallestShare = 1 << 14

/// Runs `body` for parts of `0..<count` on the threads that this rank's oneDNN kernels use, each part once.
///
/// Through OpenMP's own entry point, for a second pool of threads would fight with oneDNN's over the same cores.
/// - Parameters:
///   - step: parts begin at multiples of it.
///   - elements: of memory that an item of `count` stands for.
func inParallel(_ count: Int, step: Int = 1, elements: Int = 1, _ body: (_ part: Range<Int>) -> Void) {
    let threads = min(Int(omp_get_max_threads()), max(1, count * elements / smallestShare))
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

/// The sums over parts of what `body` adds to its array of `width` numbers, in order of the parts.
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

    /// The part of the thread that calls it.
    func run() {
        let (place, threads) = (Int(omp_get_thread_num()), Int(omp_get_num_threads()))
        let steps = (count + step - 1) / step
        let (start, end) = (steps * place / threads * step, min(count, steps * (place + 1) / threads * step))
        if start < end { body(start..<end) }
    }
}
