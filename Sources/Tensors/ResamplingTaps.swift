/// The pixels and weights that make each sample of a line: bilinear, and a triangle filter where the line is shrunk.
///
/// As PyTorch's bilinear interpolation with `antialias=True`: the weights of a sample fall linearly from its centre, and
/// reach 0 at the distance of one sample where the line is shrunk, of one pixel where it is enlarged. They stay within
/// the window, and sum to 1.
package struct ResamplingTaps {
    /// The first tap of each sample, and the end of the last one's taps, [samples + 1].
    private(set) var starts: [Int] = []
    /// The pixel of each tap on the line, [taps].
    private(set) var pixels: [Int] = []
    /// [taps].
    private(set) var weights: [Float] = []

    package init() {}

    /// All pixels that any sample uses.
    var used: ClosedRange<Int> {
        // A window moves over the line, and may be reversed or reflected, so the ends can be anywhere.
        var (least, most) = (Int.max, 0)
        for pixel in pixels { (least, most) = (min(least, pixel), max(most, pixel)) }
        return least...most
    }

    /// Makes `samples` samples of the `length` pixels from `first` on, of a line of `size` pixels.
    ///
    /// The window may extend beyond the line on either side by less than `size` pixels; there the line is reflected at
    /// its edge (`cb|abcd|cb`). Numbers of pixels and samples are at least 1.
    package mutating func set(size: Int, first: Int, length: Int, samples: Int, isReversed: Bool) {
        starts.removeAll(keepingCapacity: true)
        pixels.removeAll(keepingCapacity: true)
        weights.removeAll(keepingCapacity: true)
        let step = Double(length) / Double(samples)
        let reach = max(1, step)
        let last = size - 1
        for index in 0..<samples {
            starts.append(pixels.count)
            let centre = (Double(isReversed ? samples - 1 - index : index) + 0.5) * step
            let (from, end) = (max(0, Int(centre - reach + 0.5)), min(length, Int(centre + reach + 0.5)))
            let begin = weights.count
            var total: Float = 0
            for pixel in from..<end {
                let weight = Float(1 - abs(Double(pixel) + 0.5 - centre) / reach)
                guard weight > 0 else { continue }
                total += weight
                pixels.append(last - abs(last - abs(first + pixel)))
                weights.append(weight)
            }
            for tap in begin..<weights.count { weights[tap] /= total }
        }
        starts.append(pixels.count)
    }
}
