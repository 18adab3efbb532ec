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

    /// Visits every output pixel with every place of its window: offsets of both channel vectors, and the place.
    @inline(__always)
    private func forEachPlace(_ body: (_ output: Int, _ input: Int, _ place: Int) -> Void) {
        var output = 0
        for image in 0..<images {
            for row in 0..<outputHeight {
                for column in 0..<outputWidth {
                    for place in 0..<window * window {
                        let h = row * stride + place / window
                        let w = column * stride + place % window
                        body(output, ((image * height + h) * width + w) * channels, place)
                    }
                    output += channels
                }
            }
        }
    }

    /// The largest of each window by channel, and the place in the window where it stands, the first of equals.
    /// - Parameters:
    ///   - x: [images, height, width, channels].
    ///   - y: set, `output`.
    ///   - places: set, as y.
    package func forward(_ x: Tensor, into y: Tensor, places: Tensor) {
        let (input, output, winners) = (x.base, y.base, places.base)
        forEachPlace { o, i, place in
            let (x, y, winner) = (input + i, output + o, winners + o)
            if place == 0 {
                y.update(from: x, count: channels)
                winner.update(repeating: 0, count: channels)
            } else {
                let number = Float(place)
                for c in 0..<channels {
                    let isLarger = x[c] > y[c]
                    y[c] = isLarger ? x[c] : y[c]
                    winner[c] = isLarger ? number : winner[c]
                }
            }
        }
    }

    /// Adds the gradient by y to that by x, where each window's largest stands.
    /// - Parameters:
    ///   - dy: `output`.
    ///   - places: what `forward` set.
    ///   - dx: [images, height, width, channels].
    package func backward(_ dy: Tensor, places: Tensor, addingTo dx: Tensor) {
        let (output, winners, input) = (dy.base, places.base, dx.base)
        forEachPlace { o, i, place in
            let (dy, winner, dx) = (output + o, winners + o, input + i)
            let number = Float(place)
            for c in 0..<channels { dx[c] += winner[c] == number ? dy[c] : 0 }
        }
    }
}
