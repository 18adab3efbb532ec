/// A picture in the making: sampled from an image, changed in colours, blurred, and written as normalised floats.
///
/// Letters: C channels, G = ⌈C/4⌉ groups of four. A pixel's channels are the lanes of G vectors. Lanes beyond C hold
/// numbers of other pixels, which are never written. A canvas belongs to one thread.
package final class PixelCanvas {
    package let height: Int
    package let width: Int
    package let channels: Int
    private let groups: Int
    /// The picture, [G, height, width], and a copy for the blur.
    private let pixels, copy: UnsafeMutablePointer<SIMD4<Float>>
    /// A line of an image, [pixels, C], and three numbers more, because the last pixel is read as a vector.
    private var line: [Float] = []
    private var offsets: [Int] = []
    /// The taps of `sample` by rows and by columns of the picture.
    package var rows = ResamplingTaps()
    package var columns = ResamplingTaps()

    /// - Parameters: sizes of the picture, each at least 1.
    package init(height: Int, width: Int, channels: Int) {
        (self.height, self.width, self.channels) = (height, width, channels)
        groups = (channels + 3) / 4
        pixels = .allocate(capacity: groups * height * width)
        copy = .allocate(capacity: groups * height * width)
    }

    deinit {
        pixels.deallocate()
        copy.deallocate()
    }

    // MARK: - Sampling

    /// Fills the picture from an image `[*, imageWidth, C]` by the taps, and multiplies it by `scale`.
    package func sample(_ image: UnsafePointer<UInt8>, width imageWidth: Int, scale: Float) {
        sample(image, imageWidth, scale) { Float($0) }
    }

    /// Fills the picture from an image `[*, imageWidth, C]` by the taps.
    package func sample(_ image: UnsafePointer<Float>, width imageWidth: Int) { sample(image, imageWidth, 1) { $0 } }

    /// Rows first, over all columns that are used, then columns.
    @inline(__always)
    private func sample<Value>(
        _ image: UnsafePointer<Value>, _ imageWidth: Int, _ scale: Float, _ float: (Value) -> Float
    ) {
        let used = columns.used
        let count = used.count * channels
        if line.count < count + 3 { line = [Float](repeating: 0, count: count + 3) }
        offsets.removeAll(keepingCapacity: true)
        for pixel in columns.pixels { offsets.append((pixel - used.lowerBound) * channels) }
        let first = image + used.lowerBound * channels
        let stride = imageWidth * channels
        line.withUnsafeMutableBufferPointer { line in
            let line = line.baseAddress!
            for row in 0..<height {
                average(first, stride, row, scale, float, into: line, count)
                for group in 0..<groups { gather(line + 4 * group, into: pixels + (group * height + row) * width) }
            }
        }
    }

    /// The average of the rows of an image that make a row of the picture, two at a time.
    @inline(__always)
    private func average<Value>(
        _ image: UnsafePointer<Value>, _ stride: Int, _ row: Int, _ scale: Float, _ float: (Value) -> Float,
        into line: UnsafeMutablePointer<Float>, _ count: Int
    ) {
        let (begin, end) = (rows.starts[row], rows.starts[row + 1])
        for tap in Swift.stride(from: begin, to: end, by: 2) {
            let (a, weight) = (image + rows.pixels[tap] * stride, rows.weights[tap] * scale)
            let isAlone = tap + 1 == end
            let b = isAlone ? a : image + rows.pixels[tap + 1] * stride
            let other = isAlone ? 0 : rows.weights[tap + 1] * scale
            if isAlone && tap == begin {
                for i in 0..<count { line[i] = weight * float(a[i]) }
            } else if tap == begin {
                for i in 0..<count { line[i] = weight * float(a[i]) + other * float(b[i]) }
            } else {
                for i in 0..<count { line[i] += weight * float(a[i]) + other * float(b[i]) }
            }
        }
    }

    @inline(__always)
    private func gather(_ line: UnsafePointer<Float>, into target: UnsafeMutablePointer<SIMD4<Float>>) {
        offsets.withUnsafeBufferPointer { offsets in
            columns.weights.withUnsafeBufferPointer { weights in
                columns.starts.withUnsafeBufferPointer { starts in
                    for column in 0..<width {
                        let (begin, end) = (starts[column], starts[column + 1])
                        var sum = weights[begin] * Self.vector(line + offsets[begin])
                        for tap in begin + 1..<end { sum += weights[tap] * Self.vector(line + offsets[tap]) }
                        target[column] = sum
                    }
                }
            }
        }
    }

    @inline(__always)
    private static func vector(_ base: UnsafePointer<Float>) -> SIMD4<Float> {
        UnsafeRawPointer(base).loadUnaligned(as: SIMD4<Float>.self)
    }

    // MARK: - Colours

    /// The mean of each channel, [C].
    package var means: [Float] {
        let count = height * width
        var result: [Float] = []
        for group in 0..<groups {
            // In sums by rows, whose rounding stays small.
            var total = SIMD4<Float>(repeating: 0)
            for row in 0..<height {
                var sum = SIMD4<Float>(repeating: 0)
                let first = pixels + (group * height + row) * width
                for column in 0..<width { sum += first[column] }
                total += sum
            }
            for lane in 0..<min(4, channels - 4 * group) { result.append(total[lane] / Float(count)) }
        }
        return result
    }

    /// Three channels become an affine map of them, clipped to 0...1.
    /// - Parameter columns: images of the first, second and third channel.
    package func mix(_ columns: [SIMD3<Float>], offset: Float) {
        precondition(channels == 3, "a map of three channels, for \(channels)")
        let (red, green, blue) = (SIMD4(columns[0], 0), SIMD4(columns[1], 0), SIMD4(columns[2], 0))
        for i in 0..<height * width {
            let pixel = pixels[i]
            pixels[i] = Self.clipped(red * pixel.x + green * pixel.y + blue * pixel.z + offset)
        }
    }

    /// Every value v becomes gain·v + offset, clipped to 0...1.
    package func scale(by gain: Float, offset: Float) {
        for i in 0..<groups * height * width { pixels[i] = Self.clipped(pixels[i] * gain + offset) }
    }

    /// Swift's `clamped` works lane by lane.
    @inline(__always)
    private static func clipped(_ value: SIMD4<Float>) -> SIMD4<Float> {
        let positive = value.replacing(with: 0, where: value .< 0)
        return positive.replacing(with: 1, where: positive .> 1)
    }

    /// Values from `threshold` on become 1 - v.
    package func solarise(from threshold: Float) {
        for i in 0..<groups * height * width {
            let value = pixels[i]
            pixels[i] = value.replacing(with: 1 - value, where: value .>= threshold)
        }
    }

    // MARK: - Blur

    /// Convolves rows and columns with `weights`, an odd number of them, symmetric. The picture is reflected at its
    /// edge, so half of the weights are fewer than its shorter side.
    package func blur(_ weights: [Float]) {
        let radius = weights.count / 2
        precondition(radius < min(height, width), "a blur of \(radius) pixels, of \(height)x\(width)")
        for group in 0..<groups {
            let (picture, other) = (pixels + group * height * width, copy + group * height * width)
            withUnsafeTemporaryAllocation(of: SIMD4<Float>.self, capacity: width + 2 * radius) { padded in
                let taps = (0..<weights.count).map { UnsafePointer(padded.baseAddress! + $0) }
                for row in 0..<height {
                    for column in -radius..<width + radius {
                        padded[column + radius] = picture[row * width + Self.reflected(column, width)]
                    }
                    Self.convolve(taps, weights, count: width, into: other + row * width)
                }
            }
            for row in 0..<height {
                let taps = (row - radius...row + radius).map { row in
                    UnsafePointer(other + Self.reflected(row, height) * width)
                }
                Self.convolve(taps, weights, count: width, into: picture + row * width)
            }
        }
    }

    private static func reflected(_ position: Int, _ size: Int) -> Int { size - 1 - abs(size - 1 - abs(position)) }

    /// Four pixels at a time, while their sums stay in registers.
    @inline(__always)
    private static func convolve(
        _ taps: [UnsafePointer<SIMD4<Float>>], _ weights: [Float], count: Int,
        into result: UnsafeMutablePointer<SIMD4<Float>>
    ) {
        let target = UnsafeMutableRawPointer(result)
        let whole = count / 4 * 4
        for first in stride(from: 0, to: whole, by: 4) {
            var sum = SIMD16<Float>(repeating: 0)
            for tap in taps.indices {
                sum += weights[tap] * UnsafeRawPointer(taps[tap] + first).loadUnaligned(as: SIMD16<Float>.self)
            }
            target.storeBytes(of: sum, toByteOffset: 16 * first, as: SIMD16<Float>.self)
        }
        for column in whole..<count {
            var sum = SIMD4<Float>(repeating: 0)
            for tap in taps.indices { sum += weights[tap] * taps[tap][column] }
            result[column] = sum
        }
    }

    // MARK: - The result

    /// Writes v·scale + shift, [height, width, C], or its transpose [width, height, C].
    /// - Parameters:
    ///   - scale: [C].
    ///   - shift: [C].
    package func write(
        into result: UnsafeMutablePointer<Float>, scale: [Float], shift: [Float], isTransposed: Bool
    ) {
        for group in 0..<groups {
            let lanes = min(4, channels - 4 * group)
            let (scale, shift) = (Self.lanes(scale, group), Self.lanes(shift, group))
            let picture = pixels + group * height * width
            let last = height * width - 1
            // The pixels after one overwrite the lanes beyond C, at most three of one channel.
            let isWhole = groups == 1 && !isTransposed
            for row in 0..<height {
                for column in 0..<width {
                    let index = row * width + column
                    let value = picture[index] * scale + shift
                    let target = result + (isTransposed ? column * height + row : index) * channels + 4 * group
                    if isWhole && index < last - 2 {
                        UnsafeMutableRawPointer(target).storeBytes(of: value, as: SIMD4<Float>.self)
                    } else {
                        for lane in 0..<lanes { target[lane] = value[lane] }
                    }
                }
            }
        }
    }

    private static func lanes(_ values: [Float], _ group: Int) -> SIMD4<Float> {
        var result = SIMD4<Float>(repeating: 0)
        for lane in 0..<min(4, values.count - 4 * group) { result[lane] = values[4 * group + lane] }
        return result
    }
}
