extension Tensor {
    /// Sets this tensor, [images, ⌈height/step⌉, ⌈width/step⌉, channels], to every `step`-th pixel of a map, [images, height,
    /// width, channels].
    package func setToSamples(of map: Tensor, step: Int) {
        forEachSample(of: map, step) { sample, pixel, channels in sample.update(from: pixel, count: channels) }
    }

    /// Sets this tensor, a map, to the gradient by its samples, which is 0 in all other pixels.
    package func setToGradient(ofSamples dy: Tensor, step: Int) {
        fill(0)
        dy.forEachSample(of: self, step) { sample, pixel, channels in pixel.update(from: sample, count: channels) }
    }

    /// Calls `body` with each pixel of this tensor and that of the map from which it comes.
    private func forEachSample(
        of map: Tensor, _ step: Int,
        _ body: (_ sample: UnsafeMutablePointer<Float>, _ pixel: UnsafeMutablePointer<Float>, _ channels: Int) -> Void
    ) {
        let (rows, columns, channels) = (shape[1], shape[2], shape[3])
        inParallel(shape[0] * rows, elements: columns * channels) { part in
            for row in part {
                let (image, top) = row.quotientAndRemainder(dividingBy: rows)
                let first = map.base + (image * map.shape[1] + top * step) * map.shape[2] * channels
                for column in 0..<columns {
                    body(base + (row * columns + column) * channels, first + column * step * channels, channels)
                }
            }
        }
    }
}
