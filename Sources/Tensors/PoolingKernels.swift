/// Sizes of a max pool over square windows without padding. Images are NHWC.
package struct PoolingShape: Hashable, Sendable {
    package var images, height, width, channels, window, stride: Int

    package init(images: Int, height: Int, width: Int, channels: Int, window: Int, stride: Int) {
        self.images = images
        self.height = height
        self.width = width
        self.channels = channels
        self.window = window
        self.stride = stride
    }

    package var outputHeight: Int { (height - window) / stride + 1 }
    package var outputWidth: Int { (width - window) / stride + 1 }
    package var output: [Int] { [images, outputHeight, outputWidth, channels] }

    /// Calls `body` for every output pixel and every position in its window, with the offsets of both channel vectors
    /// and the position.
    @inline(__always)
    private func forEachPosition(_ body: (_ output: Int, _ input: Int, _ position: Int) -> Void) {
        var output = 0
        for image in 0..<images {
            for row in 0..<outputHeight {
                for column in 0..<outputWidth {
                    for position in 0..<window * window {
                        let h = row * stride + position / window
                        let w = column * stride + position % window
                        body(output, ((image * height + h) * width + w) * channels, position)
                    }
                    output += channels
                }
            }
        }
    }

    /// The largest element of each window by channel, and its position in the window; of equals, the first.
    /// - Parameters:
    ///   - x: [images, height, width, channels].
    ///   - y: set, `output`.
    ///   - winners: set to the positions, of the same shape as y.
    package func forward(_ x: Tensor, into y: Tensor, winners: Tensor) {
        let (input, output, positions) = (x.base, y.base, winners.base)
        forEachPosition { o, i, position in
            let (x, y, winner) = (input + i, output + o, positions + o)
            if position == 0 {
                y.update(from: x, count: channels)
                winner.update(repeating: 0, count: channels)
            } else {
                let number = Float(position)
                for c in 0..<channels {
                    let isLarger = x[c] > y[c]
                    y[c] = isLarger ? x[c] : y[c]
                    winner[c] = isLarger ? number : winner[c]
                }
            }
        }
    }

    /// Adds the gradient by y to the gradient by x, at the position of each window's largest element.
    /// - Parameters:
    ///   - dy: `output`.
    ///   - winners: those that `forward` set.
    ///   - dx: [images, height, width, channels].
    package func backward(_ dy: Tensor, winners: Tensor, addingTo dx: Tensor) {
        let (output, positions, input) = (dy.base, winners.base, dx.base)
        forEachPosition { o, i, position in
            let (dy, winner, dx) = (output + o, positions + o, input + i)
            let number = Float(position)
            for c in 0..<channels { dx[c] += winner[c] == number ? dy[c] : 0 }
        }
    }
}
