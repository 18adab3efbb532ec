import Collectives

/// A small network after airbench94 (Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a single GPU", section 3.1).
package struct FastSettings: SettingsTree {
    /// Channels of each group.
    package var widths = [64, 256, 256]
    /// Convolutions of each group.
    package var convolutions = 2
    /// How the last map becomes a vector.
    package var pooling: MapPooling = .both
    /// Whether the filters of the first layer whiten patches of the images, and never move.
    package var whitening = true
    /// The group whose output is the local feature map, from 1; 0 for the last whose longer side is at least 7.
    package var local = 0

    package init() {}

    package static let help = [
        "widths": "channels of each group",
        "convolutions": "3x3 convolutions of each group; after the first comes a 2x2 max pool",
        "pooling": "how the last map becomes a vector: \(MapPooling.expectation)",
        "whitening": "the first layer's filters whiten patches of the images, and never move",
        "local": "the group whose output is the local feature map, from 1; 0 takes the last of at least 7 pixels",
    ]
    package static let expectations = ["widths": "a list of whole numbers"]

    /// Throws `InputError` for values out of range for any images.
    func check() throws {
        let name = "encoder.fast"
        try require((1...8).contains(widths.count), "\(name).widths", "a list of \(widths.count)", "1 to 8 groups")
        for (index, width) in widths.enumerated() {
            try require((1...16384).contains(width), "\(name).widths[\(index)]", width, "1 to 16384")
        }
        try require((1...16).contains(convolutions), "\(name).convolutions", convolutions, "1 to 16")
        try require((0...widths.count).contains(local), "\(name).local", local, "0 to \(widths.count), a group")
    }

    /// These settings with automatic ones replaced by their values, for images of this shape.
    func resolved(for image: MapShape) -> FastSettings {
        var result = self
        if local == 0 { result.local = maps(of: image).defaultLocal + 1 }
        return result
    }

    /// These settings, with automatic ones set to the values of an earlier run.
    func adopting(_ earlier: FastSettings) -> FastSettings {
        var result = self
        if local == 0 { result.local = earlier.local }
        return result
    }

    /// Shapes of the groups' outputs.
    func maps(of image: MapShape) -> [MapShape] {
        var (height, width) = (image.height - 1, image.width - 1)
        return widths.map { channels in
            if Self.isPooled(height: height, width: width) { (height, width) = (height / 2, width / 2) }
            return MapShape(height: height, width: width, channels: channels)
        }
    }

    /// Throws `InputError` where the encoder would have too many weights for images of this shape.
    func checkSize(_ image: MapShape, code: Int) throws {
        var (inputs, count) = (8 * Double(image.channels), 32 * Double(image.channels * image.channels))
        for outputs in widths.map(Double.init) {
            count += 9 * outputs * (inputs + Double(convolutions - 1) * outputs)
            inputs = outputs
        }
        count += Double(pooling.width(channels: widths[widths.count - 1]) * code)
        guard count <= Double(ImageEncoder.mostParameters) else {
            throw InputError(
                "encoder.fast.widths is \(widths): with \(convolutions) convolutions a group the encoder would have about "
                    + "\(Int(count)) parameters, more than \(ImageEncoder.mostParameters): make the groups narrower")
        }
    }

    /// Whether a group pools a map of this size.
    static func isPooled(height: Int, width: Int) -> Bool { min(height, width) > 1 }
}
