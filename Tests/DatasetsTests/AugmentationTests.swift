import Collectives
import Tensors
import Testing

@testable import Datasets

/// Draws and checks of augmentations. Their pixels have tests of their own.
struct AugmentationTests {
    private let shape = ImageShape(height: 32, width: 32, channels: 3)
    private let normalisation = Normalisation(mean: [0.4, 0.5, 0.6], deviation: [0.5, 0.25, 0.2])

    private func noise(_ count: Int) -> ImageDataset {
        var stream = RandomStream(seed: 1, purpose: .synthetic)
        return ImageDataset(
            bytes: (0..<count * shape.size).map { _ in UInt8(truncatingIfNeeded: stream.word()) }, shape: shape)
    }

    private func filled(
        _ dataset: ImageDataset, _ augmentation: Augmentation, side: Int? = nil, isParallel: Bool = false
    ) throws -> [Float] {
        let size = ViewFrame(dataset.shape, side: side).size
        var values = [Float](repeating: .nan, count: dataset.count * size)
        try values.withUnsafeMutableBufferPointer {
            dataset.fill(
                try #require($0.baseAddress), indices: Array(0..<dataset.count), normalisation: normalisation,
                augmentation: augmentation, seed: 4, epoch: 2, view: 1, side: side, isParallel: isParallel)
        }
        return values
    }

    @Test func everyChangeHasItsFrequency() {
        var augmentation = Augmentation()
        augmentation.verticalFlip = true
        augmentation.quarterTurns = true
        augmentation.blur.probability = 0.3
        augmentation.solarise.probability = ViewProbability([0, 0.2])
        augmentation.cutout.side = 8
        augmentation.cutout.probability = 0.6
        augmentation.channelDrop = 0.4
        let frame = ViewFrame(shape)
        let views = (0..<4000).map { augmentation.view(seed: 3, epoch: 1, image: $0, view: 1, in: frame) }
        func expect(_ fraction: Double, _ name: String, _ happens: (ImageView) -> Bool) {
            let deviation = (fraction * (1 - fraction) / 4000).squareRoot()
            #expect(abs(Double(views.count(where: happens)) / 4000 - fraction) < 4 * deviation, "\(name)")
        }
        expect(0.5, "vertical flip") { $0.isUpsideDown }
        for turns in 0..<4 { expect(0.25, "\(turns) turns") { $0.quarterTurns == turns } }
        expect(0.3, "blur") { $0.blur != nil }
        expect(0.15, "strong blur") { ($0.blur?.deviation ?? 0) > 1.05 }
        expect(0.2, "solarisation") { $0.solarise != nil }
        expect(0.6, "cutout") { $0.cutout != nil }
        for channel in 0..<3 { expect(0.4 / 3, "channel \(channel)") { $0.droppedChannel == channel } }
        #expect(views.compactMap(\.blur).allSatisfy { (0.1...2).contains($0.deviation) && $0.radius == 1 })
        #expect(Set(views.compactMap { $0.cutout?.top }) == Set(-4..<28))
        let first = (0..<200).map { augmentation.view(seed: 3, epoch: 1, image: $0, in: frame) }
        #expect(first.allSatisfy { $0.solarise == nil })
        // Settings of before draw what they drew before.
        var old = Augmentation(padCrop: 4, flip: true)
        old.greyscale = 0.5
        var new = old
        (new.crop, new.blur, new.cutout) = (RandomCrop(0.2...1), augmentation.blur, augmentation.cutout)
        for image in 0..<20 {
            let a = old.view(seed: 3, epoch: 1, image: image, in: frame)
            let b = new.view(seed: 3, epoch: 1, image: image, in: frame)
            #expect((a.top, a.left, a.isMirrored) == (b.top, b.left, b.isMirrored))
            #expect(a.colours == b.colours)
        }
    }

    /// Noise has its deviation in pixels, a dropped channel and a cut window are the mean.
    @Test func disturbancesAreInPixels() throws {
        let dataset = noise(40)
        let plain = try filled(dataset, Augmentation())
        var augmentation = Augmentation()
        augmentation.noise = 0.1
        let noisy = try filled(dataset, augmentation)
        for channel in 0..<3 {
            let differences = stride(from: channel, to: plain.count, by: 3).map {
                Double(noisy[$0] - plain[$0]) * normalisation.deviation[channel]
            }
            let variance = differences.reduce(0) { $0 + $1 * $1 } / Double(differences.count)
            // Four deviations of the estimate: 4 sqrt(2 / 40960) of the variance.
            #expect(abs(variance / 0.01 - 1) < 0.028)
        }
        augmentation = Augmentation()
        augmentation.channelDrop = 1
        augmentation.cutout.side = 10
        let cut = try filled(dataset, augmentation)
        for image in 0..<40 {
            let view = augmentation.view(seed: 4, epoch: 2, image: image, view: 1, in: ViewFrame(shape))
            let window = try #require(view.cutout)
            let (rows, columns) = (window.top..<window.top + 10, window.left..<window.left + 10)
            for index in 0..<shape.size {
                let (y, x, channel) = (index / 96, index / 3 % 32, index % 3)
                let isCut = rows.contains(y) && columns.contains(x) || channel == view.droppedChannel
                let position = image * shape.size + index
                #expect(cut[position] == (isCut ? 0 : plain[position]))
            }
        }
    }

    /// Views of every recipe, at a size of their own, are the same on several threads.
    @Test(arguments: AugmentationRecipe.allCases) func recipesAreTheSameOnThreads(_ recipe: AugmentationRecipe) throws {
        let dataset = noise(30)
        var augmentation = Augmentation(recipe) ?? Augmentation()
        augmentation.noise = 0.01
        _ = try Device(threads: 3)  // sets this thread's number, here and below
        let several = try filled(dataset, augmentation, side: 40, isParallel: true)
        _ = try Device(threads: 1)
        #expect(try several == filled(dataset, augmentation, side: 40))
        #expect(several.allSatisfy { $0.isFinite })
    }

    @Test func aRecipesColoursAreLeftOutWhereThereAreNone() throws {
        var augmentation = try #require(Augmentation(.simclr))
        let grey = ImageShape(height: 28, width: 28, channels: 1)
        let recipe = ViewRecipe([augmentation, augmentation])
        let fitted = try recipe.fitted(to: grey, holdsBytes: true).views[0]
        #expect((fitted.jitter.brightness, fitted.jitter.contrast) == (0.4, 0.4))
        #expect((fitted.jitter.saturation, fitted.jitter.hue, fitted.greyscale) == (0, 0, 0))
        #expect(
            recipe.remark(on: grey, holdsBytes: true) == "images have 1 channel(s), not red, green and blue, so of "
                + "data.augmentation.recipe=simclr these are left out: jitter.saturation, jitter.hue, greyscale")
        let floats = try recipe.fitted(to: shape, holdsBytes: false).views[0]
        #expect(!floats.jitter.changesColours)
        #expect(floats.crop == augmentation.crop)
        #expect(recipe.remark(on: shape, holdsBytes: true) == nil)
        #expect(try recipe.fitted(to: shape, holdsBytes: true).views == recipe.views)
        // A run says it once.
        let folder = try TemporaryFolder()
        var settings = ViewSettings()
        settings.path = try folder.write("images", imagesFile(count: 4, height: 28, width: 28))
        let source = try ViewSource(settings, recipe, batch: 2, seed: 0, ranks: SingleRank())
        #expect(source.notes.filter { $0.contains("these are left out: jitter.saturation") }.count == 1)
        #expect(source.batch(0, device: try Device()).images.shape == [4, 28, 28, 1])
        // A value that the user has set is refused.
        augmentation.greyscale = 0.7
        expectInputError("greyscale", "1 channel") {
            _ = try ViewRecipe([augmentation]).fitted(to: grey, holdsBytes: true)
        }
    }

    @Test func refusesWhatImagesCanNotHave() throws {
        var augmentation = Augmentation()
        augmentation.quarterTurns = true
        try augmentation.check(shape: shape)
        let wide = ImageShape(height: 8, width: 9, channels: 1)
        try augmentation.check(shape: wide, side: 8)
        expectInputError("quarterTurns", "8x9", "squares") { try augmentation.check(shape: wide) }
        augmentation = Augmentation()
        augmentation.blur.probability = 1
        augmentation.blur.size = 17
        expectInputError("17 pixels across", "8x9", "blur.size") { try augmentation.check(shape: wide) }
        augmentation.blur.above = 8
        try augmentation.check(shape: wide)
        augmentation = Augmentation()
        augmentation.channelDrop = 0.5
        expectInputError("channelDrop", "1 channel") { try augmentation.check(shape: wide) }
        augmentation = Augmentation()
        augmentation.solarise.probability = 0.5
        expectInputError("solarise", "floating-point") { try augmentation.check(shape: shape, holdsBytes: false) }
        augmentation = Augmentation()
        augmentation.jitter.brightness = 0.5
        try augmentation.check(shape: wide)
        expectInputError("brightness", "floating-point") { try augmentation.check(shape: wide, holdsBytes: false) }
    }
}
