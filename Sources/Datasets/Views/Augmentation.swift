import Collectives
import Tensors

/// Random changes to an image, the same for one (seed, epoch, image) whatever the number of ranks.
package struct Augmentation: SettingsTree {
    /// Pixels that an image is moved by at most, each way, with its reflection at the edge where it leaves room; 0 is
    /// off. Not zeros: a contrastive loss learns to tell images by where their black borders lie.
    package var padCrop: Int
    /// Mirrors left and right with probability 1/2.
    package var flip: Bool
    package var jitter = ColourJitter()
    /// Probability of losing all colour.
    package var greyscale = 0.0

    package init() { self.init(padCrop: 0, flip: false) }

    package init(padCrop: Int = 0, flip: Bool = false) {
        self.padCrop = padCrop
        self.flip = flip
    }

    package static let parts: [String: any SettingsTree.Type] = ["jitter": ColourJitter.self]
    package static let help = [
        "padCrop": "pixels that an image is moved by at most, each way, reflected at the edge; 0 is off",
        "flip": "mirror left and right with probability 1/2",
        "greyscale": "probability of losing all colour, 0 to 1",
    ]

    private var changesColours: Bool { jitter.changesColours || greyscale > 0 }

    /// Whether two views of an image can differ.
    package var changesImages: Bool { padCrop > 0 || flip || changesColours }

    /// Throws when a setting is out of its range.
    package func check() throws {
        guard (0...64).contains(padCrop) else {
            throw InputError("data.augmentation.padCrop is \(padCrop): it must be 0 to 64 pixels")
        }
        let limits = [
            ("jitter.brightness", jitter.brightness, 1), ("jitter.contrast", jitter.contrast, 1),
            ("jitter.saturation", jitter.saturation, 1), ("jitter.hue", jitter.hue, 0.5),
            ("jitter.probability", jitter.probability, 1), ("greyscale", greyscale, 1),
        ]
        for (name, value, limit) in limits where !(value >= 0 && value <= limit) {
            throw InputError("data.augmentation.\(name) is \(value): it must be 0 to \(limit)")
        }
    }

    /// Throws when a crop could miss the image, on vectors, which have no left and right, or when there are no colours
    /// to change.
    package func check(shape: ImageShape, holdsBytes: Bool = true) throws {
        guard !shape.isVector || self == Augmentation() else {
            throw InputError(
                "data.augmentation has padCrop \(padCrop) and flip \(flip), which are for images, and these data are "
                    + "vectors of \(shape.channels): set them to 0 and false, or take a method without augmentation")
        }
        let limit = min(shape.height, shape.width) - 1
        guard (0...limit).contains(padCrop) else {
            throw InputError(
                "padCrop \(padCrop) on images of \(shape.height)x\(shape.width), expected 0 to \(limit), "
                    + "below the shorter side")
        }
        guard !changesColours || shape.channels == 3 && holdsBytes else {
            let found = shape.channels == 3 ? "floating-point pixels" : "\(shape.channels) channel(s)"
            throw InputError(
                "data.augmentation changes colours (jitter, greyscale), and these images have \(found): that is for "
                    + "images of red, green and blue in 0 to 255; leave it out")
        }
    }

    /// What becomes of one view of an image in one epoch. All numbers are always drawn, so that switching one change off leaves
    /// the others as they were.
    func view(seed: UInt64, epoch: Int, image: Int, view: Int = 0) -> ImageView {
        var stream = RandomStream(seed: seed, purpose: .augmentation, step: epoch, sample: image, part: view)
        let top = stream.index(below: 2 * padCrop + 1) - padCrop
        let left = stream.index(below: 2 * padCrop + 1) - padCrop
        let mirrored = stream.index(below: 2) == 1
        let colours = jitter.draw(&stream, greyscale: greyscale)
        return ImageView(
            top: top, left: left, isMirrored: flip && mirrored, colours: changesColours ? colours : nil)
    }
}

/// Where the crop lies on the image, negative over the padding, whether it is mirrored afterwards, and what becomes of
/// its colours.
struct ImageView: Equatable {
    var top: Int
    var left: Int
    var isMirrored: Bool
    var colours: ColourChange? = nil
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
