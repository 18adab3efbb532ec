import Collectives
import Tensors

/// Random changes to an image. They depend on seed, epoch, image and view, not on the number of ranks.
///
/// Their order: shift or crop, flips and turns, colours, blur, solarisation, noise, a dropped channel, cutout.
package struct Augmentation: SettingsTree {
    /// The values that the other settings have by default.
    package var recipe = AugmentationRecipe.none
    package var crop = RandomCrop()
    /// The crop of the small views of methods that have views of two sizes.
    package var smallCrop = RandomCrop(0.05...0.4)
    /// Most pixels by which an image is moved each way; 0 is off. The free border is filled with the image's reflection
    /// at its edge, not with zeros: from black borders, a contrastive loss would learn to identify images.
    package var padCrop: Int
    /// Mirrors left and right with probability 1/2.
    package var flip: Bool
    /// Mirrors up and down with probability 1/2.
    package var verticalFlip = false
    /// Turns by 0, 90, 180 or 270 degrees, each with probability 1/4.
    package var quarterTurns = false
    package var jitter = ColourJitter()
    /// Probability of becoming grey.
    package var greyscale = 0.0
    package var blur = RandomBlur()
    package var solarise = RandomSolarise()
    /// Standard deviation of Gaussian noise that is added to each value; for bytes on the scale of 0...1.
    package var noise = 0.0
    /// Probability that one channel, any of them, becomes its mean over the data.
    package var channelDrop = 0.0
    package var cutout = RandomCutout()

    package init() { self.init(padCrop: 0, flip: false) }

    package init(padCrop: Int = 0, flip: Bool = false) {
        self.padCrop = padCrop
        self.flip = flip
    }

    package static let parts: [String: any SettingsTree.Type] = [
        "crop": RandomCrop.self, "smallCrop": RandomCrop.self, "jitter": ColourJitter.self, "blur": RandomBlur.self,
        "solarise": RandomSolarise.self, "cutout": RandomCutout.self,
    ]
    package static let help = [
        "recipe": "named values of the other settings of augmentation: \(AugmentationRecipe.expectation)",
        "smallCrop.least": "crop.least of small views, in methods that have views of two sizes",
        "smallCrop.most": "crop.most of small views",
        "smallCrop.ratio": "crop.ratio of small views",
        "padCrop": "most pixels by which an image is moved each way, reflected at the edge; 0 is off",
        "flip": "swap left and right with probability 1/2",
        "verticalFlip": "swap up and down with probability 1/2",
        "quarterTurns": "turn by 0, 90, 180 or 270 degrees",
        "greyscale": "probability of becoming grey, 0 to 1",
        "noise": "standard deviation of Gaussian noise, in the data's unit, or as a fraction of 255 for bytes",
        "channelDrop": "probability that one channel becomes its mean, 0 to 1",
    ]

    /// The augmentation of a small view.
    package var ofSmallView: Augmentation {
        var result = self
        result.crop = smallCrop
        return result
    }

    private var changesColours: Bool { jitter.changesColours || greyscale > 0 }

    /// Whether two views of an image can differ.
    package var changesImages: Bool {
        padCrop > 0 || flip || verticalFlip || quarterTurns || crop.isOn || changesColours
            || blur.probability.isPossible || solarise.probability.isPossible || noise > 0 || channelDrop > 0
            || cutout.isOn
    }

    // MARK: - Checks

    /// Throws when a setting is out of its range.
    package func check() throws {
        guard (0...64).contains(padCrop) else {
            throw InputError("data.augmentation.padCrop is \(padCrop): it must be 0 to 64 pixels")
        }
        let limits = [
            ("jitter.brightness", jitter.brightness, 1), ("jitter.contrast", jitter.contrast, 1),
            ("jitter.saturation", jitter.saturation, 1), ("jitter.hue", jitter.hue, 0.5),
            ("jitter.probability", jitter.probability, 1), ("greyscale", greyscale, 1),
            ("channelDrop", channelDrop, 1),
        ]
        for (name, value, limit) in limits where !(value >= 0 && value <= limit) {
            throw InputError("data.augmentation.\(name) is \(value): it must be 0 to \(limit)")
        }
        try crop.check("data.augmentation.crop")
        try smallCrop.check("data.augmentation.smallCrop")
        try blur.check("data.augmentation.blur")
        try solarise.check("data.augmentation.solarise")
        try cutout.check("data.augmentation.cutout")
        try require(noise >= 0 && Float(noise).isFinite, "data.augmentation.noise", noise, "0 or more, as float32")
    }

    /// Throws for changes that images of this shape can't have: a shift beyond the image, turns of what isn't square,
    /// colours without red, green and blue, and any change of vectors.
    /// - Parameter side: side of square views; nil for views of the images' own size.
    package func check(shape: ImageShape, holdsBytes: Bool = true, side: Int? = nil) throws {
        guard !shape.isVector || !changesImages else {
            throw InputError(
                "data.augmentation changes images (padCrop \(padCrop), flip \(flip), …), but these data are vectors of "
                    + "\(shape.channels) numbers: set all its settings to 0 and false, or choose a method without "
                    + "augmentation")
        }
        let limit = min(shape.height, shape.width) - 1
        guard (0...limit).contains(padCrop) else {
            throw InputError(
                "data.augmentation.padCrop is \(padCrop), but images are \(shape.height)x\(shape.width): it must be 0 "
                    + "to \(limit), less than the shorter side")
        }
        let (height, width) = (side ?? shape.height, side ?? shape.width)
        guard !quarterTurns || height == width else {
            throw InputError(
                "data.augmentation.quarterTurns is true, but images are \(height)x\(width): leave it out, because only "
                    + "squares can be turned")
        }
        let radius = blur.radius(side: min(height, width))
        guard !blur.blurs(side: min(height, width)) || radius < min(height, width) else {
            throw InputError(
                "data.augmentation.blur is \(2 * radius + 1) pixels across, but views are \(height)x\(width): lower "
                    + "blur.size, or leave the blur out")
        }
        try checkColours(shape, holdsBytes: holdsBytes)
    }

    private func checkColours(_ shape: ImageShape, holdsBytes: Bool) throws {
        let needsColours = jitter.turnsColours || greyscale > 0
        guard !needsColours || shape.channels == 3 && holdsBytes else {
            let found = shape.channels == 3 ? "floating-point pixels" : "\(shape.channels) channel(s)"
            throw InputError(
                "data.augmentation changes colours (jitter.saturation, jitter.hue, greyscale), but these images have "
                    + "\(found): leave it out, because it needs red, green and blue from 0 to 255")
        }
        guard holdsBytes || !jitter.changesColours && !solarise.probability.isPossible else {
            throw InputError(
                "data.augmentation changes brightness (jitter, solarise), but these images have floating-point pixels: "
                    + "leave it out, because it needs values from 0 to 255")
        }
        guard channelDrop == 0 || shape.channels > 1 else {
            throw InputError(
                "data.augmentation.channelDrop is \(channelDrop), but these images have 1 channel: leave it out")
        }
    }

    // MARK: - Drawing

    /// The random changes of one view of an image in one epoch. All numbers are always drawn, so that switching one
    /// change off doesn't alter the others. New ones come after the old; the crop's are the last, because their number
    /// varies.
    func view(seed: UInt64, epoch: Int, image: Int, view: Int = 0, in frame: ViewFrame) -> ImageView {
        var stream = RandomStream(seed: seed, purpose: .augmentation, step: epoch, sample: image, part: view)
        func happens(_ probability: Double) -> Bool { Double(stream.uniform()) < probability }
        let top = stream.index(below: 2 * padCrop + 1) - padCrop
        let left = stream.index(below: 2 * padCrop + 1) - padCrop
        let mirrored = stream.index(below: 2) == 1
        let colours = jitter.draw(&stream, greyscale: greyscale)
        var result = ImageView(
            top: top, left: left, isMirrored: flip && mirrored, colours: changesColours ? colours : nil)
        result.isUpsideDown = stream.index(below: 2) == 1 && verticalFlip
        result.quarterTurns = stream.index(below: 4) * (quarterTurns ? 1 : 0)
        let isBlurred = happens(blur.probability[view]) && blur.blurs(side: frame.shorterSide)
        let deviation = Float(blur.least + (blur.most - blur.least) * Double(stream.uniform()))
        if isBlurred {
            result.blur = ImageView.Blur(deviation: deviation, radius: blur.radius(side: frame.shorterSide))
        }
        if happens(solarise.probability[view]) { result.solarise = Float(solarise.threshold) }
        let isCut = happens(cutout.probability) && cutout.side > 0
        let (row, column) = (stream.index(below: frame.height), stream.index(below: frame.width))
        if isCut {
            result.cutout = PixelWindow(
                top: row - cutout.side / 2, left: column - cutout.side / 2, height: cutout.side, width: cutout.side)
        }
        let isDropped = happens(channelDrop)
        let channel = stream.index(below: frame.image.channels)
        if isDropped { result.droppedChannel = channel }
        if crop.isOn { result.crop = crop.draw(&stream, of: frame.image) }
        // Of a part of its own, above those of views.
        let noiseStream = RandomStream(
            seed: seed, purpose: .augmentation, step: epoch, sample: image, part: view + ViewRecipe.mostViews)
        if noise > 0 { result.noise = ImageView.Noise(deviation: Float(noise), stream: noiseStream) }
        return result
    }
}
