/// Sizes of a max pool over square windows. Images are NHWC. Windows may reach over the edge by `padding` pixels, which
/// never win.
package struct PoolingShape: Hashable, Sendable {
    package var images, height, width, channels, window, stride, padding: Int

    /// - Parameter padding: less than `window`, so that each window has a pixel of the image. An image with its padding is
    ///   at least as large as a window.
    package init(
        images: Int, height: Int, width: Int, channels: Int, window: Int, stride: Int, padding: Int = 0
    ) {
        precondition(padding < window && window <= min(height, width) + 2 * padding, "a pool of \(window) pixels")
        self.images = images
        self.height = height
        self.width = width
        self.channels = channels
        self.window = window
        self.stride = stride
        self.padding = padding
    }

    package var outputHeight: Int { (height + 2 * padding - window) / stride + 1 }
    package var outputWidth: Int { (width + 2 * padding - window) / stride + 1 }
    package var output: [Int] { [images, outputHeight, outputWidth, channels] }

    /// Whether each pixel is in one window of four, or in none, at an odd edge.
    private var isHalving: Bool { (window, stride, padding) == (2, 2, 0) }
    private var inputSize: Int { height * width * channels }
    private var outputSize: Int { outputHeight * outputWidth * channels }

    /// Calls `body` for every output pixel of an image and every position in its window, with the offsets of both
    /// channel vectors in their images and the position. `isFirst` is true for the first position of each window.
    @inline(__always)
    private func forEachPosition(_ body: (_ output: Int, _ input: Int, _ position: Int, _ isFirst: Bool) -> Void) {
        var output = 0
        for row in 0..<outputHeight {
            for column in 0..<outputWidth {
                var isFirst = true
                for position in 0..<window * window {
                    let h = row * stride - padding + position / window
                    let w = column * stride - padding + position % window
                    guard h >= 0 && h < height && w >= 0 && w < width else { continue }
                    body(output, (h * width + w) * channels, position, isFirst)
                    isFirst = false
                }
                output += channels
            }
        }
    }

    /// The largest element of each window by channel, and its position in the window; of equals, the first.
    /// - Parameters:
    ///   - x: [images, height, width, channels].
    ///   - y: set, `output`.
    ///   - winners: set to the positions, as many as y has elements.
    package func forward(_ x: Tensor, into y: Tensor, winners: PoolWinners) {
        inParallel(images, elements: inputSize) { part in
            for image in part {
                let (input, output) = (x.base + image * inputSize, y.base + image * outputSize)
                let positions = winners.base + image * outputSize
                if isHalving {
                    halve(input, into: output, positions)
                } else {
                    pool(input, into: output, positions)
                }
            }
        }
    }

    private func pool(
        _ input: UnsafeMutablePointer<Float>, into output: UnsafeMutablePointer<Float>,
        _ positions: UnsafeMutablePointer<UInt16>
    ) {
        forEachPosition { o, i, position, isFirst in
            let (x, y, winner, number) = (input + i, output + o, positions + o, UInt16(position))
            if isFirst {
                y.update(from: x, count: channels)
                winner.update(repeating: number, count: channels)
            } else {
                for c in 0..<channels {
                    let isLarger = x[c] > y[c]
                    y[c] = isLarger ? x[c] : y[c]
                    winner[c] = isLarger ? number : winner[c]
                }
            }
        }
    }

    /// The gradient by x: the sum of the gradients by y at the position of each window's largest element.
    /// - Parameters:
    ///   - dy: `output`.
    ///   - winners: those that `forward` set.
    ///   - dx: set, [images, height, width, channels].
    package func backward(_ dy: Tensor, winners: PoolWinners, into dx: Tensor) {
        inParallel(images, elements: inputSize) { part in
            for image in part {
                let (output, input) = (dy.base + image * outputSize, dx.base + image * inputSize)
                let positions = winners.base + image * outputSize
                if isHalving {
                    spread(output, positions, into: input)
                } else {
                    input.update(repeating: 0, count: inputSize)
                    forEachPosition { o, i, position, _ in
                        let (dy, winner, dx, number) = (output + o, positions + o, input + i, UInt16(position))
                        for c in 0..<channels { dx[c] += winner[c] == number ? dy[c] : 0 }
                    }
                }
            }
        }
    }

    // MARK: - Windows of 2x2 that don't overlap: each pixel is read and written once

    private func halve(
        _ input: UnsafeMutablePointer<Float>, into output: UnsafeMutablePointer<Float>,
        _ positions: UnsafeMutablePointer<UInt16>
    ) {
        for row in 0..<outputHeight {
            for column in 0..<outputWidth {
                let o = (row * outputWidth + column) * channels
                let (y, winner) = (output + o, positions + o)
                let above = input + (2 * row * width + 2 * column) * channels
                let below = above + width * channels
                for c in 0..<channels {
                    var (best, position) = (above[c], UInt32(0))
                    let others = (above[channels + c], below[c], below[channels + c])
                    (best, position) = others.0 > best ? (others.0, 1) : (best, position)
                    (best, position) = others.1 > best ? (others.1, 2) : (best, position)
                    (best, position) = others.2 > best ? (others.2, 3) : (best, position)
                    y[c] = best
                    winner[c] = UInt16(truncatingIfNeeded: position)
                }
            }
        }
    }

    private func spread(
        _ output: UnsafeMutablePointer<Float>, _ positions: UnsafeMutablePointer<UInt16>,
        into input: UnsafeMutablePointer<Float>
    ) {
        let rowSize = width * channels
        for row in 0..<outputHeight {
            let first = input + 2 * row * rowSize
            for column in 0..<outputWidth {
                let o = (row * outputWidth + column) * channels
                let (dy, winner) = (output + o, positions + o)
                let above = first + 2 * column * channels
                let below = above + rowSize
                // One array is written at a time, which the compiler can vectorise.
                func set(_ pixel: UnsafeMutablePointer<Float>, whereWinnerIs position: UInt16) {
                    for c in 0..<channels { pixel[c] = winner[c] == position ? dy[c] : 0 }
                }
                set(above, whereWinnerIs: 0)
                set(above + channels, whereWinnerIs: 1)
                set(below, whereWinnerIs: 2)
                set(below + channels, whereWinnerIs: 3)
            }
            if width % 2 == 1 {
                for edge in [first + rowSize - channels, first + 2 * rowSize - channels] {
                    edge.update(repeating: 0, count: channels)
                }
            }
        }
        if height % 2 == 1 { (input + (height - 1) * rowSize).update(repeating: 0, count: rowSize) }
    }
}

/// The position in its window of each largest element of a max pool, of windows up to 256x256.
package struct PoolWinners {
    private let memory: Tensor

    package init(count: Int, device: Device) { memory = device.tensor([(count + 1) / 2]) }

    var base: UnsafeMutablePointer<UInt16> { memory.address.assumingMemoryBound(to: UInt16.self) }
}
