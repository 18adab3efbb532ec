import Tensors

/// The changes of one view of an image.
struct ImageView: Equatable {
    /// The shift's position on the image, negative over the padding.
    var top: Int
    var left: Int
    /// Whether left and right are swapped, after the crop.
    var isMirrored: Bool
    var colours: ColourChange? = nil
    /// A window of the shifted image, which is resized to the view; nil for all of it.
    var crop: PixelWindow? = nil
    /// Whether up and down are swapped, after the crop.
    var isUpsideDown = false
    /// Turns of 90 degrees to the left, after the flips, in 0...3.
    var quarterTurns = 0
    var blur: Blur? = nil
    /// Values from here on become 1 - v.
    var solarise: Float? = nil
    var noise: Noise? = nil
    /// The channel that becomes its mean.
    var droppedChannel: Int? = nil
    /// A window of the view that becomes the mean. It may lie partly outside.
    var cutout: PixelWindow? = nil

    struct Blur: Equatable {
        /// Standard deviation, in pixels.
        var deviation: Float
        /// Pixels from the centre to the end.
        var radius: Int
    }

    /// Numbers of a normal distribution, one for each value in order.
    struct Noise: Equatable {
        var deviation: Float
        var stream: RandomStream
    }

    /// Whether the view only moves pixels and changes their colours, one by one.
    func onlyMoves(in frame: ViewFrame) -> Bool {
        crop == nil && !isUpsideDown && quarterTurns == 0 && blur == nil && solarise == nil && frame.isOwnSize
            && (colours == nil || frame.image.channels == 3)
    }
}

/// A rectangle of pixels.
struct PixelWindow: Equatable {
    var top: Int
    var left: Int
    var height: Int
    var width: Int
}

/// The sizes of an image and of its view.
struct ViewFrame: Equatable {
    let image: ImageShape
    let height: Int
    let width: Int

    /// - Parameter side: side of a square view; nil for the image's own size.
    init(_ image: ImageShape, side: Int? = nil) {
        self.image = image
        (height, width) = (side ?? image.height, side ?? image.width)
    }

    var shorterSide: Int { min(height, width) }
    var isOwnSize: Bool { (height, width) == (image.height, image.width) }
    /// Values in the view.
    var size: Int { height * width * image.channels }
}
