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

    /// Throws when a crop could miss the image.
    package func check(shape: ImageShape) throws {
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
/// The padding is of pixels that are 0 before normalisation, so it comes out as `table` has 0.
/// - Parameter table: `[channels, 256]`, what each pixel value becomes.
func render(
    _ image: UnsafePointer<UInt8>, _ shape: ImageShape, _ view: ImageView, table: UnsafePointer<Float>,
    into result: UnsafeMutablePointer<Float>
) {
    let (width, channels) = (shape.width, shape.channels)
    // Columns of the crop, before mirroring, that lie on the image.
    let columns = max(0, -view.left)..<min(width, width - view.left)
    for row in 0..<shape.height {
        let source = row + view.top
        let line = result + row * width * channels
        guard (0..<shape.height).contains(source) else {
            pad(line, pixels: width, channels, table)
            continue
        }
        let pixels = image + (source * width + view.left) * channels
        let (before, after) = (columns.lowerBound, width - columns.upperBound)
        if view.isMirrored {
            pad(line, pixels: after, channels, table)
            convert(
                pixels + (columns.upperBound - 1) * channels, step: -channels, pixels: columns.count, channels, table,
                into: line + after * channels)
            pad(line + (width - before) * channels, pixels: before, channels, table)
        } else {
            pad(line, pixels: before, channels, table)
            convert(
                pixels + before * channels, step: channels, pixels: columns.count, channels, table,
                into: line + before * channels)
            pad(line + (width - after) * channels, pixels: after, channels, table)
        }
    }
}

/// Looks up pixels that lie `step` bytes apart. One and three channels, the common ones, go without an inner loop.
func convert(
    _ first: UnsafePointer<UInt8>, step: Int, pixels: Int, _ channels: Int, _ table: UnsafePointer<Float>,
    into result: UnsafeMutablePointer<Float>
) {
    var source = first
    var target = result
    switch channels {
    case 1:
        for _ in 0..<pixels {
            target[0] = table[Int(source[0])]
            source += step
            target += 1
        }
    case 3:
        for _ in 0..<pixels {
            target[0] = table[Int(source[0])]
            target[1] = table[256 + Int(source[1])]
            target[2] = table[512 + Int(source[2])]
            source += step
            target += 3
        }
    default:
        for _ in 0..<pixels {
            for channel in 0..<channels { target[channel] = table[256 &* channel &+ Int(source[channel])] }
            source += step
            target += channels
        }
    }
}

private func pad(
    _ result: UnsafeMutablePointer<Float>, pixels: Int, _ channels: Int, _ table: UnsafePointer<Float>
) {
    for pixel in 0..<pixels {
        for channel in 0..<channels { result[pixel &* channels &+ channel] = table[256 &* channel] }
    }
}
