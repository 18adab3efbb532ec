import Collectives
import Tensors

/// Random changes to an image, the same for one (seed, epoch, image) whatever the number of ranks.
package struct Augmentation: Codable, Equatable, Sendable {
    /// Pixels of zeros put around an image before a crop of its own size at a random place; 0 is off.
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
/// The padding is of pixels that are 0 before normalisation.
func render<Conversion: PixelConversion>(
    _ image: UnsafePointer<Conversion.Stored>, _ shape: ImageShape, _ view: ImageView, _ conversion: Conversion,
    into result: UnsafeMutablePointer<Float>
) {
    let (width, channels) = (shape.width, shape.channels)
    // Columns of the crop, before mirroring, that lie on the image.
    let columns = max(0, -view.left)..<min(width, width - view.left)
    for row in 0..<shape.height {
        let source = row + view.top
        let line = result + row * width * channels
        guard (0..<shape.height).contains(source) else {
            conversion.pad(line, pixels: width)
            continue
        }
        let pixels = image + (source * width + view.left) * channels
        let (before, after) = (columns.lowerBound, width - columns.upperBound)
        if view.isMirrored {
            conversion.pad(line, pixels: after)
            conversion.convert(
                pixels + (columns.upperBound - 1) * channels, step: -channels, pixels: columns.count,
                into: line + after * channels)
            conversion.pad(line + (width - before) * channels, pixels: before)
        } else {
            conversion.pad(line, pixels: before)
            conversion.convert(
                pixels + before * channels, step: channels, pixels: columns.count, into: line + before * channels)
            conversion.pad(line + (width - after) * channels, pixels: after)
        }
    }
}
