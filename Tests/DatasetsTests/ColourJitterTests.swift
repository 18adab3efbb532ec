import Testing

@testable import Datasets

/// Changes of colours against their definitions, one after the other, a pixel at a time.
@Suite struct ColourJitterTests {
    private let image: [UInt8] = [200, 30, 90, 10, 240, 60, 128, 128, 128, 0, 0, 255]
    private let frame = ViewFrame(ImageShape(height: 32, width: 32, channels: 3))
    private let normalisation = Normalisation(mean: [0.5, 0.25, 0], deviation: [0.5, 0.25, 2])

    /// The pixels after a change, before normalisation.
    private func changed(_ change: ColourChange) -> [[Float]] {
        let values = [Float](unsafeUninitializedCapacity: image.count) { result, count in
            image.withUnsafeBufferPointer { image in
                guard let source = image.baseAddress, let target = result.baseAddress else { return }
                let conversion = ColourConversion(
                    change, image: source, pixels: image.count / 3, normalisation: normalisation)
                conversion.convert(source, step: 3, pixels: image.count / 3, into: target)
            }
            count = image.count
        }
        let (mean, deviation) = normalisation.floats()
        return stride(from: 0, to: values.count, by: 3).map { start -> [Float] in
            (0..<3).map { values[start + $0] * deviation[$0] + mean[$0] }
        }
    }

    private var original: [[Float]] {
        stride(from: 0, to: image.count, by: 3).map { start in (0..<3).map { Float(image[start + $0]) / 255 } }
    }

    private func luma(_ pixel: [Float]) -> Float { 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2] }

    private func expectClose(_ found: [[Float]], _ expected: [[Float]], _ label: String) {
        for (a, b) in zip(found.joined(), expected.joined()) { #expect(abs(a - b) < 2e-3, "\(label): \(a), not \(b)") }
    }

    @Test func eachChangeIsItsDefinition() {
        let none = ColourChange(brightness: 1, contrast: 1, saturation: 1, turn: 0)
        func cut(_ value: Float) -> Float { min(max(value, 0), 1) }
        expectClose(changed(none), original, "none")
        var change = none
        change.brightness = 1.3
        expectClose(changed(change), original.map { $0.map { cut(1.3 * $0) } }, "brightness")
        change = none
        change.contrast = 0.4
        let mean = original.map(luma).reduce(0, +) / Float(original.count)
        expectClose(changed(change), original.map { $0.map { cut(0.4 * $0 + 0.6 * mean) } }, "contrast")
        change = none
        change.saturation = 1.7
        expectClose(
            changed(change), original.map { pixel in pixel.map { cut(1.7 * $0 - 0.7 * luma(pixel)) } }, "saturation")
        change.saturation = 0
        expectClose(changed(change), original.map { Array(repeating: luma($0), count: 3) }, "greyscale")
    }

    /// A turn of hue keeps luma and greys, a third of a turn three times and a whole one are none, and red goes to
    /// green.
    @Test func hueTurns() {
        func turned(_ turn: Float) -> [[Float]] {
            // Little colour, so that nothing is cut.
            changed(ColourChange(brightness: 0.5, contrast: 1, saturation: 0.1, turn: turn))
        }
        let start = turned(0)
        for turn: Float in [-0.5, -0.2, 0.1, 0.35] {
            for (a, b) in zip(turned(turn), start) { #expect(abs(luma(a) - luma(b)) < 1e-3, "\(turn)") }
            #expect(turned(turn)[2].allSatisfy { abs($0 - 64.0 / 255) < 1e-3 })
        }
        expectClose(turned(1), start, "a whole turn")
        let red = changed(ColourChange(brightness: 1, contrast: 1, saturation: 1, turn: 0.33))[0]
        #expect(red[1] > red[0] || red[2] > red[0], "\(red)")
        #expect(turned(0.25) != start)
    }

    @Test func drawsFollowFromTheStrengths() {
        var augmentation = Augmentation()
        augmentation.jitter.brightness = 0.4
        augmentation.jitter.hue = 0.1
        augmentation.jitter.probability = 0.8
        augmentation.greyscale = 0.25
        let changes = (0..<4000).compactMap { augmentation.view(seed: 3, epoch: 1, image: $0, in: frame).colours }
        #expect(changes.count == 4000)
        #expect(changes.allSatisfy { (0.6...1.4).contains($0.brightness) && abs($0.turn) <= 0.1 && $0.contrast == 1 })
        // Four deviations of 4000 draws.
        #expect(abs(changes.count { $0.brightness != 1 } - 3200) < 102)
        #expect(abs(changes.count { $0.saturation == 0 } - 1000) < 110)
        // The label of the crop is drawn before, and stays.
        var plain = augmentation
        plain.jitter = ColourJitter()
        plain.greyscale = 0
        plain.padCrop = 4
        augmentation.padCrop = 4
        let a = augmentation.view(seed: 3, epoch: 1, image: 7, in: frame)
        let b = plain.view(seed: 3, epoch: 1, image: 7, in: frame)
        #expect((a.top, a.left) == (b.top, b.left))
        #expect(b.colours == nil)
    }

    @Test func refusesWhatHasNoColours() throws {
        var augmentation = Augmentation()
        augmentation.greyscale = 0.5
        try augmentation.check(shape: ImageShape(height: 8, width: 8, channels: 3))
        expectInputError("jitter.hue, greyscale", "1 channel") {
            try augmentation.check(shape: ImageShape(height: 8, width: 8, channels: 1))
        }
        expectInputError("floating-point") {
            try augmentation.check(shape: ImageShape(height: 8, width: 8, channels: 3), holdsBytes: false)
        }
        augmentation.greyscale = 1.5
        expectInputError("data.augmentation.greyscale is 1.5", "0 to 1") { try augmentation.check() }
        augmentation.greyscale = 0
        augmentation.jitter.hue = .nan
        expectInputError("data.augmentation.jitter.hue", "0 to 0.5") { try augmentation.check() }
    }
}
