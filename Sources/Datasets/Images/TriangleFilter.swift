/// A type of pixel values, and how its weighted averages are computed.
protocol ResizableValue: BitwiseCopyable, Numeric {
    associatedtype Sum: BitwiseCopyable, Numeric
    /// The start of a sum.
    static var start: Sum { get }
    /// A weight of at most 1, in the form that sums use.
    static func weight(_ fraction: Double) -> Sum
    static func product(_ value: Self, _ weight: Sum) -> Sum
    static func average(_ sum: Sum) -> Self
}

/// In fixed point, by the same steps as Pillow. The weights of a sample sum to 1, so a sum stays below 2^30 and a
/// little more.
extension UInt8: ResizableValue {
    private static let fractionBits: Int32 = 22

    static var start: Int32 { 1 << (fractionBits - 1) }
    static func weight(_ fraction: Double) -> Int32 { Int32(fraction * Double(1 << fractionBits) + 0.5) }
    static func product(_ value: UInt8, _ weight: Int32) -> Int32 { Int32(value) &* weight }
    static func average(_ sum: Int32) -> UInt8 { UInt8(truncatingIfNeeded: Swift.min(sum >> fractionBits, 255)) }
}

extension Float: ResizableValue {
    static var start: Float { 0 }
    static func weight(_ fraction: Double) -> Float { Float(fraction) }
    static func product(_ value: Float, _ weight: Float) -> Float { value * weight }
    static func average(_ sum: Float) -> Float { sum }
}

/// Weights that compute `side` samples from a slice of a line of pixels.
///
/// A sample's weights fall linearly from its centre. They reach 0 at the distance of one sample where the line is
/// shrunk, so that all pixels count, and of one pixel where it is enlarged. They may extend beyond the slice, but not
/// beyond the line. They sum to 1.
struct TriangleFilter<Value: ResizableValue> {
    /// The pixels that each sample uses, `[side]`.
    private var pixels: [Range<Int>] = []
    /// The weights of each sample, one after another.
    private var weights: [Value.Sum] = []

    /// All pixels that any sample uses.
    var samples: Range<Int> { pixels[0].lowerBound..<pixels[pixels.count - 1].upperBound }

    /// For the slice of `length` pixels from `first` on, of a line of `size` pixels. Numbers are at least 1.
    init(of size: Int, from first: Int, _ length: Int, to side: Int) {
        let step = Double(length) / Double(side)
        let reach = max(1, step)
        for sample in 0..<side {
            let centre = Double(first) + (Double(sample) + 0.5) * step
            let range = max(0, Int(centre - reach + 0.5))..<min(size, Int(centre + reach + 0.5))
            let raw = range.map { max(0, 1 - abs(Double($0) - centre + 0.5) / reach) }
            let total = raw.reduce(0, +)
            pixels.append(range)
            weights += raw.map { Value.weight($0 / total) }
        }
    }

    /// One line, `[size, channels]` to `[side, channels]`.
    func gather(_ line: UnsafePointer<Value>, channels: Int, into result: UnsafeMutablePointer<Value>) {
        weights.withUnsafeBufferPointer { weights in
            var (target, used) = (0, 0)
            for range in pixels {
                for channel in 0..<channels {
                    var sum = Value.start
                    var pixel = line + range.lowerBound * channels + channel
                    for index in used..<used + range.count {
                        sum += Value.product(pixel.pointee, weights[index])
                        pixel += channels
                    }
                    result[target] = Value.average(sum)
                    target += 1
                }
                used += range.count
            }
        }
    }

    /// Rows, `[samples.count, rowSize]` to `[side, rowSize]`; the first is row `firstRow` of the image.
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
                    for column in 0..<rowSize { sums[column] += Value.product(source[column], weight) }
                }
                for column in 0..<rowSize { target[column] = Value.average(sums[column]) }
                target += rowSize
                used += range.count
            }
        }
    }
}
