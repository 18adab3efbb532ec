import Collectives
import Tensors

/// Random changes to an image, the same for one (seed, epoch, image) whatever the number of ranks.
package struct Augmentation: Codable, Equatable, Sendable {
    /// Pixels that an image is moved by at most, each way, with its reflection at the edge where it leaves room; 0 is
    /// off. Not zeros: a contrastive loss learns to tell images by where their black borders lie.
    package var padCrop: Int
    /// Mirrors left and right with probability 1/2.
    package var flip: Bool

    package init(padCrop: Int = 0, flip: Bool = false) {
        self.padCrop = padCrop
        self.flip = flip
    }

    /// Throws when a crop could miss the image, or on vectors, which have no left and right.
    package func check(shape: ImageShape) throws {
        guard !shape.isVector || self == Augmentation() else {
            throw InputError(
                "augmentation with padCrop \(padCrop) and flip \(flip), expected none: these data are vectors of "
                    + "\(shape.channels)")
        }
        let limit = min(shape.height, shape.width) - 1
        guard (0...limit).contains(padCrop) else {
            throw InputError(
                "padCrop \(padCrop) on images of \(shape.height)x\(shape.width), expected 0 to \(limit), "
                    + "below the shorter side")
        }
    }

    /// What becomes of one image in one epoch. All three numbers are always drawn, so that switching one change off
    /// leaves the others as they were.
    func view(seed: UInt64, epoch: Int, image: Int) -> ImageView {
        var stream = RandomStream(seed: seed, purpose: .augmentation, step: epoch, sample: image)
        let top = stream.index(below: 2 * padCrop + 1) - padCrop
        let left = stream.index(below: 2 * padCrop + 1) - padCrop
        let mirrored = stream.index(below: 2) == 1
        return ImageView(top: top, left: left, isMirrored: flip && mirrored)
    }
}

/// Where the crop lies on the image, negative over the padding, and whether it is mirrored afterwards.
struct ImageView: Equatable {
    var top: Int
    var left: Int
    var isMirrored: Bool
}

// MARK: - Pixels

/// Writes a view of the image `[height, width, channels]` as normalised Float, of the same shape.
///
/// What lies outside the image is its reflection at the edge (`cb|abcd|cb`).
func render<Conversion: PixelConversion>(
    _ image: UnsafePointer<Conversion.Stored>, _ shape: ImageShape, _ view: ImageView, _ conversion: Conversion,
    into result: UnsafeMutablePointer<Float>
) {
    let (width, channels) = (shape.width, shape.channels)
    // Neighbouring columns that are read one way: the reflection at the left, the image, the reflection at the right.
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
