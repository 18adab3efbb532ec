import Foundation
import Tensors
import Testing

@testable import Datasets

/// Pixels of views against torchvision's (`Fixtures/views.py`).
struct ViewPixelTests {
    struct Fixtures: Decodable {
        let height: Int
        let width: Int
        /// `[height, width, 3]`.
        let image: Data
        let cases: [Case]
        let crops: [Crops]

        struct Case: Decodable {
            let name: String
            let shape: [Int]
            /// `[shape[0], shape[1], 3]` of float32.
            let values: Data
            var crop: [Int]?
            var isMirrored: Bool?
            var isUpsideDown: Bool?
            var quarterTurns: Int?
            var deviation: Float?
            var radius: Int?
            var solarise: Float?
            var brightness: Float?
            var contrast: Float?
            var saturation: Float?
        }

        /// Random crops of 20,000 images: how often a measure is at most a limit.
        struct Crops: Decodable {
            let height: Int
            let width: Int
            let least: Double
            let most: Double
            let widest: Double
            let measures: [String: [[Double]]]
        }

        static func load() throws -> Fixtures {
            let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent(
                "Fixtures/views.json")
            return try JSONDecoder().decode(Fixtures.self, from: Data(contentsOf: path))
        }
    }

    private func painted(
        _ image: [UInt8], _ frame: ViewFrame, _ view: ImageView, asFloats: Bool = false
    ) throws -> [Float] {
        let channels = frame.image.channels
        let painter = ViewPainter(
            frame, mean: [Float](repeating: 0, count: channels), deviation: [Float](repeating: 1, count: channels))
        var result = [Float](repeating: .nan, count: frame.size)
        try result.withUnsafeMutableBufferPointer { result in
            let target = try #require(result.baseAddress)
            if asFloats {
                try image.map { Float($0) / 255 }.withUnsafeBufferPointer {
                    painter.paint(try #require($0.baseAddress), view, into: target)
                }
            } else {
                try image.withUnsafeBufferPointer { painter.paint(try #require($0.baseAddress), view, into: target) }
            }
        }
        return result
    }

    /// torchvision weighs red by 0.2989, not by 0.299, which colours show.
    @Test func equalTorchvision() throws {
        let fixtures = try Fixtures.load()
        let image = [UInt8](fixtures.image)
        let shape = ImageShape(height: fixtures.height, width: fixtures.width, channels: 3)
        #expect(fixtures.cases.count > 20)
        for expected in fixtures.cases {
            var view = ImageView(top: 0, left: 0, isMirrored: expected.isMirrored ?? false)
            if let crop = expected.crop {
                view.crop = PixelWindow(top: crop[0], left: crop[1], height: crop[2], width: crop[3])
            }
            view.isUpsideDown = expected.isUpsideDown ?? false
            view.quarterTurns = expected.quarterTurns ?? 0
            if let deviation = expected.deviation, let radius = expected.radius {
                view.blur = ImageView.Blur(deviation: deviation, radius: radius)
            }
            view.solarise = expected.solarise
            let colours = ColourChange(
                brightness: expected.brightness ?? 1, contrast: expected.contrast ?? 1,
                saturation: expected.saturation ?? 1, turn: 0)
            if !colours.isIdentity { view.colours = colours }
            let frame = ViewFrame(shape, side: expected.shape[0] == expected.shape[1] ? expected.shape[0] : nil)
            #expect([frame.height, frame.width] == expected.shape)
            let tolerance: Float = view.colours == nil ? 2e-6 : 2e-4
            let values = expected.values.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
            #expect(values.count == frame.size)
            for asFloats in [false, true] {
                let found = try painted(image, frame, view, asFloats: asFloats)
                let distance = zip(found, values).map { abs($0 - $1) }.max()
                #expect(try #require(distance) < tolerance, "\(expected.name)")
            }
        }
    }

    /// A flip of a whole image moves pixels alone, and painting gives the same as moving them.
    @Test func paintingAPlainViewMovesPixels() throws {
        let fixtures = try Fixtures.load()
        let shape = ImageShape(height: fixtures.height, width: fixtures.width, channels: 3)
        let image = [UInt8](fixtures.image)
        for (top, left, isMirrored) in [(0, 0, false), (0, 0, true), (-7, 5, true), (19, -23, false)] {
            let view = ImageView(top: top, left: left, isMirrored: isMirrored)
            let table = (0..<768).map { Float($0 % 256) / 255 }
            var moved = [Float](repeating: .nan, count: shape.size)
            try table.withUnsafeBufferPointer { table in
                let conversion = ByteConversion(table: try #require(table.baseAddress), channels: 3)
                try moved.withUnsafeMutableBufferPointer {
                    render(image, shape, view, conversion, into: try #require($0.baseAddress))
                }
            }
            let distance = zip(try painted(image, ViewFrame(shape), view), moved).map { abs($0 - $1) }.max()
            #expect(try #require(distance) < 1e-6, "\(view)")
        }
    }

    /// A shift moves the image under the window, and reflects it.
    @Test func aCropOfAShiftedImageIsACropOfTheShift() throws {
        let fixtures = try Fixtures.load()
        let shape = ImageShape(height: fixtures.height, width: fixtures.width, channels: 3)
        let image = [UInt8](fixtures.image)
        let shift = ImageView(top: -6, left: 9, isMirrored: false)
        let shifted = try painted(image, ViewFrame(shape), shift).map { UInt8(($0 * 255).rounded()) }
        var both = shift
        both.crop = PixelWindow(top: 1, left: 2, height: 13, width: 20)
        var crop = ImageView(top: 0, left: 0, isMirrored: false)
        crop.crop = both.crop
        let frame = ViewFrame(shape, side: 9)
        let distance = zip(try painted(image, frame, both), try painted(shifted, frame, crop)).map { abs($0 - $1) }
            .max()
        #expect(try #require(distance) < 1e-6)
    }

    /// Each channel of an image of any number of them is made as if it were alone.
    @Test(arguments: [1, 2, 4, 5, 8, 13]) func channelsDoNotMix(channels: Int) throws {
        let shape = ImageShape(height: 9, width: 11, channels: channels)
        let image = (0..<shape.size).map { UInt8(truncatingIfNeeded: $0 * $0 / 7 + $0) }
        var view = ImageView(top: 2, left: -1, isMirrored: true)
        view.crop = PixelWindow(top: 0, left: 3, height: 8, width: 6)
        view.blur = ImageView.Blur(deviation: 1, radius: 2)
        view.solarise = 0.6
        for turns in 0..<4 {
            view.quarterTurns = turns
            let all = try painted(image, ViewFrame(shape, side: 7), view)
            for channel in 0..<channels {
                let one = stride(from: channel, to: image.count, by: channels).map { image[$0] }
                let frame = ViewFrame(ImageShape(height: 9, width: 11, channels: 1), side: 7)
                let alone = try painted(one, frame, view)
                #expect(stride(from: channel, to: all.count, by: channels).map { all[$0] } == alone)
            }
        }
    }

    /// Brightness and contrast of images that aren't RGB, around the mean of all channels.
    @Test(arguments: [1, 5]) func otherImagesHaveBrightnessAndContrast(channels: Int) throws {
        let shape = ImageShape(height: 6, width: 5, channels: channels)
        let image = (0..<shape.size).map { UInt8(truncatingIfNeeded: 60 + 7 * $0 % 150) }
        var view = ImageView(top: 0, left: 0, isMirrored: false)
        view.colours = ColourChange(brightness: 0.9, contrast: 0.6, saturation: 1, turn: 0)
        let mean = image.map { Float($0) / 255 }.reduce(0, +) / Float(image.count)
        let expected = image.map { 0.6 * 0.9 * Float($0) / 255 + 0.4 * 0.9 * mean }
        let distance = zip(try painted(image, ViewFrame(shape), view), expected).map { abs($0 - $1) }.max()
        #expect(try #require(distance) < 1e-6)
    }

    /// Areas, ratios and positions have the frequencies of torchvision's.
    @Test func randomCropsAreDistributedAsTorchvisions() throws {
        for expected in try Fixtures.load().crops {
            var augmentation = Augmentation()
            augmentation.crop = RandomCrop(expected.least...expected.most, ratio: expected.widest)
            let (height, width) = (expected.height, expected.width)
            let frame = ViewFrame(ImageShape(height: height, width: width, channels: 3))
            let windows = try (0..<20000).map {
                try #require(augmentation.view(seed: 9, epoch: 1, image: $0, in: frame).crop)
            }
            let measures: [String: (PixelWindow) -> Double] = [
                "area": { Double($0.height * $0.width) / Double(height * width) },
                "ratio": { Double($0.width) / Double($0.height) }, "top": { Double($0.top) },
                "left": { Double($0.left) },
            ]
            #expect(Set(measures.keys) == Set(expected.measures.keys))
            for (name, limits) in expected.measures {
                let values = windows.map(try #require(measures[name]))
                for limit in limits {
                    let frequency = Double(values.count { $0 <= limit[0] + 1e-9 }) / 20000
                    // Four deviations of a difference of two frequencies of 20,000.
                    #expect(abs(frequency - limit[1]) < 0.02, "\(name) up to \(limit[0]): \(frequency)")
                }
            }
        }
    }
}
