/// Writes a view of the image `[height, width, channels]` as normalised Float, of the same shape.
///
/// Outside the image is its reflection at the edge (`cb|abcd|cb`).
func render<Conversion: PixelConversion>(
    _ image: UnsafePointer<Conversion.Stored>, _ shape: ImageShape, _ view: ImageView, _ conversion: Conversion,
    into result: UnsafeMutablePointer<Float>
) {
    let (width, channels) = (shape.width, shape.channels)
    // Runs of columns in one direction: the reflection at the left, the image, the reflection at the right.
    let (before, after) = (max(0, -view.left), max(0, view.left))
    var runs = [
        (first: before, step: -1, count: before), (first: after, step: 1, count: width - before - after),
        (first: width - 2, step: -1, count: after),
    ]
    if view.isMirrored {
        runs = runs.reversed().map { (first: $0.first + $0.step * ($0.count - 1), step: -$0.step, count: $0.count) }
    }
    let last = shape.height - 1
    for row in 0..<shape.height {
        let source = last - abs(last - abs(row + view.top))
        var target = result + row * width * channels
        for run in runs where run.count > 0 {
            conversion.convert(
                image + (source * width + run.first) * channels, step: run.step * channels, pixels: run.count,
                into: target)
            target += run.count * channels
        }
    }
}
