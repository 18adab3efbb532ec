import Collectives

/// A residual network (He et al. 2016). All but `width`, `stem` and `local` follows from `depth`, unless that is 0.
package struct ResidualSettings: SettingsTree {
    /// 18, 34 or 50: a published network. 0: `blocks` and `bottleneck` as configured.
    package var depth = 18
    /// Blocks of each stage.
    package var blocks: [Int] = []
    /// Whether blocks are 1x1, 3x3 and 1x1 convolutions, not two of 3x3.
    package var bottleneck = false
    /// Channels of the stem, and of the 3x3 convolutions of the first stage; each stage doubles them.
    package var width = 64
    package var stem: ResidualStem = .automatic
    /// The stage whose output is the local feature map, from 1; 0 for the last whose longer side is at least 7.
    package var local = 0

    package init() {}

    package static let help = [
        "depth": "18, 34 or 50: a published network; 0 for blocks as configured",
        "blocks": "for depth 0: blocks of each stage, such as [2, 2, 2, 2]",
        "bottleneck": "for depth 0: blocks of 1x1, 3x3 and 1x1 convolutions, instead of two of 3x3",
        "width": "channels of the first stage; each stage doubles them",
        "stem": "\(ResidualStem.expectation); cifar is a 3x3 convolution, imageNet one of 7x7 and stride 2 and a max "
            + "pool; automatic takes cifar up to \(ResidualStem.longestSmallSide) pixels",
        "local": "the stage whose output is the local feature map, from 1; 0 takes the last of at least 7 pixels",
    ]
    package static let expectations = ["blocks": "a list of whole numbers"]

    /// The published networks (table 1).
    private static let published: [Int: (blocks: [Int], bottleneck: Bool)] = [
        18: ([2, 2, 2, 2], false), 34: ([3, 4, 6, 3], false), 50: ([3, 4, 6, 3], true),
    ]

    /// Blocks of each stage.
    var stageBlocks: [Int] { Self.published[depth]?.blocks ?? blocks }
    var hasBottlenecks: Bool { Self.published[depth]?.bottleneck ?? bottleneck }

    /// Throws `InputError` for values out of range for any images.
    func check() throws {
        let name = "encoder.residual"
        try require(depth == 0 || Self.published[depth] != nil, "\(name).depth", depth, "0, 18, 34 or 50")
        guard depth == 0 || blocks.isEmpty && !bottleneck else {
            throw InputError(
                "\(name).\(blocks.isEmpty ? "bottleneck" : "blocks") is set, but \(name).depth is \(depth): it is only "
                    + "for \(name).depth=0")
        }
        guard depth != 0 || !blocks.isEmpty else {
            throw InputError(
                "\(name).blocks is empty: \(name).depth=0 needs the blocks of each stage, such as [2, 2, 2, 2]")
        }
        try require(blocks.count <= 8, "\(name).blocks", "a list of \(blocks.count)", "at most 8 stages")
        for (index, count) in blocks.enumerated() {
            try require((1...64).contains(count), "\(name).blocks[\(index)]", count, "1 to 64")
        }
        try require((1...4096).contains(width), "\(name).width", width, "1 to 4096")
        try require(
            (0...stageBlocks.count).contains(local), "\(name).local", local, "0 to \(stageBlocks.count), a stage")
    }

    /// These settings with automatic ones replaced by their values, for images of this shape.
    func resolved(for image: MapShape) -> ResidualSettings {
        var result = self
        if stem == .automatic { result.stem = .fitting(image) }
        if local == 0 { result.local = result.maps(of: image).defaultLocal + 1 }
        return result
    }

    /// These settings, with automatic ones set to the values of an earlier run.
    func adopting(_ earlier: ResidualSettings) -> ResidualSettings {
        var result = self
        if stem == .automatic { result.stem = earlier.stem }
        if local == 0 { result.local = earlier.local }
        return result
    }

    /// Shapes of the stages' outputs.
    func maps(of image: MapShape) -> [MapShape] {
        func halved(_ size: Int) -> Int { (size + 1) / 2 }
        var (height, width) = (image.height, image.width)
        if stem == .imageNet { (height, width) = (halved(halved(height)), halved(halved(width))) }
        return stageBlocks.indices.map { stage in
            if stage > 0 { (height, width) = (halved(height), halved(width)) }
            return MapShape(height: height, width: width, channels: channels(ofStage: stage))
        }
    }

    /// Throws `InputError` where the encoder would have too many weights for images of this shape.
    func checkSize(_ image: MapShape, code: Int) throws {
        var (inputs, count) = (Double(width), 49 * Double(image.channels * width))
        for (stage, blocks) in stageBlocks.enumerated() {
            let (middle, outputs) = (Double(width << stage), Double(channels(ofStage: stage)))
            for block in 0..<blocks {
                count += hasBottlenecks ? middle * (inputs + 9 * middle + outputs) : 9 * outputs * (inputs + outputs)
                if block == 0 { count += inputs * outputs }
                inputs = outputs
            }
        }
        count += inputs * Double(code)
        guard count <= Double(ImageEncoder.mostParameters) else {
            throw InputError(
                "encoder.residual.width is \(width): with stages of \(stageBlocks) blocks the encoder would have about "
                    + "\(Int(count)) parameters, more than \(ImageEncoder.mostParameters): lower the width, or take fewer "
                    + "stages")
        }
    }

    /// Output channels of a stage, from 0.
    func channels(ofStage stage: Int) -> Int { (hasBottlenecks ? 4 : 1) * width << stage }
}

/// The first layers of a residual network.
package enum ResidualStem: String, Choice {
    /// `cifar` for images of at most 64 pixels, otherwise `imageNet`.
    case automatic
    /// A 7x7 convolution of stride 2, and a 3x3 max pool of stride 2 (He et al. 2016, table 1).
    case imageNet
    /// A 3x3 convolution of stride 1 (section 4.2).
    case cifar

    static let longestSmallSide = 64

    /// The stem that `automatic` means for images of this shape.
    static func fitting(_ image: MapShape) -> ResidualStem {
        max(image.height, image.width) <= longestSmallSide ? .cifar : .imageNet
    }
}
