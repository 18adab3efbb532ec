/// A type of pixel, and how its weighted averages are summed up.
protocol ResizableValue: BitwiseCopyable, Numeric {
    associatedtype Sum: BitwiseCopyable, Numeric
    /// What a sum begins with.
    static var start: Sum { get }
    /// A weight of at most 1, as sums take it.
    static func weight(_ share: Double) -> Sum
    static func product(_ value: Self, _ weight: Sum) -> Sum
    static func average(_ sum: Sum) -> Self
}

/// In fixed point, by the very steps of Pillow. The weights of a sample are 1 in all, so that a sum stays below 2^30 and
/// a little more.
extension UInt8: ResizableValue {
    private static let fraction: Int32 = 22

    static var start: Int32 { 1 << (fraction - 1) }
    static func weight(_ share: Double) -> Int32 { Int32(share * Double(1 << fraction) + 0.5) }
    static func product(_ value: UInt8, _ weight: Int32) -> Int32 { Int32(value) &* weight }
    static func average(_ sum: Int32) -> UInt8 { UInt8(truncatingIfNeeded: Swift.min(sum >> fraction, 255)) }
}

extension Float: ResizableValue {
    static var start: Float { 0 }
    static func weight(_ share: Double) -> Float { Float(share) }
    static func product(_ value: Float, _ weight: Float) -> Float { value * weight }
    static func average(_ sum: Float) -> Float { sum }
}

/// Weights that make `side` samples of a stretch of a line of pixels.
///
/// A sample's weights fall off linearly from its centre, and reach 0 at the distance of one sample where the line is
/// shrunk, so that all pixels count, and of one pixel where it is enlarged. They go beyond the stretch, not beyond the
/// line; what is left sums to 1.
struct TriangleFilter<Value: ResizableValue> {
    /// The pixels of each sample, `[side]`.
    private var pixels: [Range<Int>] = []
    /// Those of each sample, one after another.
    private var weights: [Value.Sum] = []

    /// All pixels that count.
    var samples: Range<Int> { pixels[0].lowerBound..<pixels[pixels.count - 1].upperBound }

    /// Of a line of `size` pixels, those from `first` on, `length` of them. All are at least 1.
    init(of size: Int, from first: Int, _ length: Int, to side: Int) {
        let step = Double(length) / Double(side)
        let reach = max(1, step)
        for sample in 0..<side {
            let centre = Double(first) + (Double(sample) + 0.5) * step
            let range = max(0, Int(centre - reach + 0.5))..<min(size, Int(centre + reach + 0.5))
            let shares = range.map { max(0, 1 - abs(Double($0) - centre + 0.5) / reach) }
            let total = shares.reduce(0, +)
            pixels.append(range)
            weights += shares.map { Value.weight($0 / total) }
        }
    }

    /// One line, `[size, channels]` to `[side, channels]`.
    func gather(_ line: UnsafePointer<Value>, channels: Int, into result: UnsafeMutablePointer<Value>) {
        weights.withUnsafeBufferPointer { weights in
            var (place, used) = (0, 0)
            for range in pixels {
                for channel in 0..<channels {
                    var sum = Value.start
                    var pixel = line + range.lowerBound * channels + channel
                    for index in used..<used + range.count {
                        sum += Value.product(pixel.pointee, weights[index])
                        pixel += channels
                    }
                    result[place] = Value.average(sum)
                    place += 1
                }
                used += range.count
            }
        }
    }

    /// Lines across, `[samples.count, rowSize]` to `[side, rowSize]`; the first is that of pixel `firstRow`.
    func average(
        _ rows: UnsafePointer<Value>, firstRow: Int, rowSize: Int, into result: UnsafeMutablePointer<Value>
    ) {
        var sums = [Value.Sum](repeating: Value.start, count: rowSize)
        sums.withUnsafeMutableBufferPointer { sums in
            var (target, used) = (result, 0)
            for range in pixels {
                sums.update(repeating: Value.start)
                for (row, weight) in zip(range, weights[used..<used + range.count]) {
                    let source = rows + (row - firstRow) * rowSize
                    for place in 0..<rowSize { sums[place] += Value.product(source[place], weight) }
                }
                for place in 0..<rowSize { target[place] = Value.average(sums[place]) }
                target += rowSize
                used += range.count
            }
        }
    }
}
