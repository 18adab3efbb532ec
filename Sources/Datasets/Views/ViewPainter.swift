import Tensors

/// Paints views that resample, blur or solarise an image, on a canvas. It belongs to one thread.
final class ViewPainter {
    private let frame: ViewFrame
    /// From pixels to normalised values: v·scale + shift.
    private let scale, shift: [Float]
    private let upright, turned: PixelCanvas

    /// - Parameters:
    ///   - mean: by channel, on the scale of 0...1 for bytes.
    ///   - deviation: by channel, above 0.
    init(_ frame: ViewFrame, mean: [Float], deviation: [Float]) {
        self.frame = frame
        scale = deviation.map { 1 / $0 }
        shift = zip(mean, deviation).map { -$0 / $1 }
        let channels = frame.image.channels
        upright = PixelCanvas(height: frame.height, width: frame.width, channels: channels)
        turned =
            frame.height == frame.width
            ? upright : PixelCanvas(height: frame.width, width: frame.height, channels: channels)
    }

    func paint(_ image: UnsafePointer<UInt8>, _ view: ImageView, into result: UnsafeMutablePointer<Float>) {
        let canvas = canvas(for: view)
        canvas.sample(image, width: frame.image.width, scale: 1 / 255)
        finish(canvas, view, into: result)
    }

    func paint(_ image: UnsafePointer<Float>, _ view: ImageView, into result: UnsafeMutablePointer<Float>) {
        let canvas = canvas(for: view)
        canvas.sample(image, width: frame.image.width)
        finish(canvas, view, into: result)
    }

    /// The canvas with the taps of the view's window. For an odd number of quarter turns it is the transpose of the
    /// view: a turn to the left is a swap of left and right, then a transposition.
    private func canvas(for view: ImageView) -> PixelCanvas {
        let shape = frame.image
        let crop = view.crop ?? PixelWindow(top: 0, left: 0, height: shape.height, width: shape.width)
        let canvas = view.quarterTurns % 2 == 0 ? upright : turned
        let (swapsRows, swapsColumns) = (view.quarterTurns >= 2, [1, 2].contains(view.quarterTurns))
        canvas.rows.set(
            size: shape.height, first: view.top + crop.top, length: crop.height, samples: canvas.height,
            isReversed: view.isUpsideDown != swapsRows)
        canvas.columns.set(
            size: shape.width, first: view.left + crop.left, length: crop.width, samples: canvas.width,
            isReversed: view.isMirrored != swapsColumns)
        return canvas
    }

    private func finish(_ canvas: PixelCanvas, _ view: ImageView, into result: UnsafeMutablePointer<Float>) {
        if let colours = view.colours, !colours.isIdentity {
            // The centre of contrast, which costs a pass over the pixels.
            let means = colours.contrast == 1 ? [Float](repeating: 0, count: canvas.channels) : canvas.means
            if canvas.channels == 3 {
                let map = colours.map(mean: (ColourChange.luma * SIMD3(means[0], means[1], means[2])).sum())
                canvas.mix(map.columns, offset: map.offset)
            } else {
                let mean = means.reduce(0, +) / Float(means.count)
                canvas.scale(
                    by: colours.brightness * colours.contrast,
                    offset: (1 - colours.contrast) * colours.brightness * mean)
            }
        }
        if let blur = view.blur { canvas.blur(RandomBlur.weights(deviation: blur.deviation, radius: blur.radius)) }
        if let threshold = view.solarise { canvas.solarise(from: threshold) }
        canvas.write(into: result, scale: scale, shift: shift, isTransposed: view.quarterTurns % 2 == 1)
    }
}

/// Adds a view's noise to normalised values `[height, width, channels]`, and sets a channel and a window to 0, the mean.
func disturb(
    _ values: UnsafeMutablePointer<Float>, _ view: ImageView, in frame: ViewFrame, deviation: [Float]
) {
    let channels = frame.image.channels
    if let noise = view.noise {
        var stream = noise.stream
        let scales = deviation.map { noise.deviation / $0 }
        for start in stride(from: 0, to: frame.size, by: channels) {
            for channel in 0..<channels { values[start + channel] += scales[channel] * stream.normal() }
        }
    }
    if let channel = view.droppedChannel {
        for index in stride(from: channel, to: frame.size, by: channels) { values[index] = 0 }
    }
    if let window = view.cutout {
        let columns = max(0, window.left)..<min(frame.width, window.left + window.width)
        for row in max(0, window.top)..<min(frame.height, window.top + window.height) {
            let first = values + (row * frame.width + columns.lowerBound) * channels
            first.update(repeating: 0, count: columns.count * channels)
        }
    }
}
