import Collectives
import Tensors

/// Random changes to an image. They depend on seed, epoch and image, not on the number of ranks.
package struct Augmentation: SettingsTree {
    /// Most pixels by which an image is moved each way; 0 is off. The free border is filled with the image's reflection
    /// at its edge, not with zeros: from black borders, a contrastive loss would learn to identify images.
    package var padCrop: Int
    /// Mirrors left and right with probability 1/2.
    package var flip: Bool
    package var jitter = ColourJitter()
    /// Probability of becoming grey.
    package var greyscale = 0.0

    package init() { self.init(padCrop: 0, flip: false) }

    package init(padCrop: Int = 0, flip: Bool = false) {
        self.padCrop = padCrop
        self.flip = flip
    }

    package static let parts: [String: any SettingsTree.Type] = ["jitter": ColourJitter.self]
    package static let help = [
        "padCrop": "most pixels by which an image is moved each way, reflected at the edge; 0 is off",
        "flip": "swap left and right with probability 1/2",
        "greyscale": "probability of becoming grey, 0 to 1",
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

    /// Throws for a shift beyond the image, for vectors, and for colour changes of images without colours.
    package func check(shape: ImageShape, holdsBytes: Bool = true) throws {
        guard !shape.isVector || self == Augmentation() else {
            throw InputError(
                "data.augmentation has padCrop \(padCrop) and flip \(flip), which are for images, but these data are "
                    + "vectors of \(shape.channels) numbers: set them to 0 and false, or choose a method without "
                    + "augmentation")
        }
        let limit = min(shape.height, shape.width) - 1
        guard (0...limit).contains(padCrop) else {
            throw InputError(
                "data.augmentation.padCrop is \(padCrop), but images are \(shape.height)x\(shape.width): it must be 0 "
                    + "to \(limit), less than the shorter side")
        }
        guard !changesColours || shape.channels == 3 && holdsBytes else {
            let found = shape.channels == 3 ? "floating-point pixels" : "\(shape.channels) channel(s)"
            throw InputError(
                "data.augmentation changes colours (jitter, greyscale), but these images have \(found): leave it out, "
                    + "because it needs red, green and blue from 0 to 255")
        }
    }

    /// The random changes of one view of an image in one epoch. All numbers are always drawn, so that switching one
    /// change off doesn't alter the others.
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

/// A view of an image: the crop's position on the image (negative over the padding), whether it is mirrored afterwards,
/// and the change of its colours.
struct ImageView: Equatable {
    var top: Int
    var left: Int
    var isMirrored: Bool
    var colours: ColourChange? = nil
}

// MARK: - Pixels

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
