import Collectives
import Testing

@testable import Datasets

struct ResizingTests {
    private func resized<Value: ResizableValue>(_ image: [Value], _ shape: ImageShape, to side: Int) throws -> [Value] {
        var result = [Value](repeating: .zero, count: side * side * shape.channels)
        try result.withUnsafeMutableBufferPointer { result in
            try image.withUnsafeBufferPointer { image in
                resizeAndCrop(
                    try #require(image.baseAddress), shape, to: side, into: try #require(result.baseAddress))
            }
        }
        return result
    }

    @Test(arguments: [5, 8, 18, 27]) func equalsPillow(side: Int) throws {
        let fixtures = try ImageFixtures.load()
        let image = try ImageDecoder.decode(ImageFixtures.path("rgb.png"), channels: 3, side: 0)
        let expected = ImageFixtures.bytes(try #require(fixtures.resized["\(side)"]))
        #expect(try resized(image.pixels, image.shape, to: side) == expected)
    }

    /// Pillow may take the columns of a tall image first, which rounds bytes differently.
    @Test func equalsPillowAtAnyStep() throws {
        for texture in try ImageFixtures.load().textures {
            let (height, width, side) = (texture.height, texture.width, texture.side)
            let shape = ImageShape(height: height, width: width, channels: 1)
            let image: [UInt8] = (0..<height * width).map { index in
                let (y, x) = (index / width, index % width)
                let value = 7 * x * x + 11 * x * y + 5 * y * y
                return UInt8(value % 256)
            }
            let values = try resized(image, shape, to: side)
            let difference = try #require(largestDistance(values, ImageFixtures.bytes(texture.resized)))
            #expect(difference <= (height > width ? 1 : 0), "\(height)x\(width) to \(side)")
            // Floats differ by what bytes are rounded by, twice.
            let exact = try resized(image.map(Float.init), shape, to: side)
            let distance = zip(exact, values).map { abs($0 - Float($1)) }.max()
            #expect(try #require(distance) < 1.01, "\(height)x\(width) to \(side)")
        }
    }

    /// Wider than high and of two channels, so that a wrong index shows, and a weight that is missing.
    @Test(arguments: [28, 32, 64, 96, 224]) func aConstantStaysAtAnyStep(side: Int) throws {
        let larger =
            side <= 64
            ? Array(stride(from: side + 1, through: 4 * side, by: side <= 32 ? 1 : 3))
            : [side + 1, side * 5 / 4 + 1, side * 4 / 3 + 1, 2 * side]
        for height in [1, 2, side / 2, side - 1] + larger {
            let shape = ImageShape(height: height, width: height + 2, channels: 2)
            func constant(_ size: Int) -> [UInt8] { (0..<size).map { $0 % 2 == 0 ? 200 : 255 } }
            let values = try resized(constant(shape.size), shape, to: side)
            #expect(values == constant(values.count), "\(height) to \(side)")
        }
    }

    @Test func aConstantStaysAndFloatsAreNotClamped() throws {
        let shape = ImageShape(height: 7, width: 12, channels: 5)
        let image = (0..<shape.size).map { Float($0 % 5) * 1000 - 2000 }
        let values = try resized(image, shape, to: 4)
        for (index, value) in values.enumerated() {
            #expect(abs(value - (Float(index % 5) * 1000 - 2000)) < 1e-2)
        }
    }

    /// Halving averages with weights 1, 3, 3, 1 over 8: of a ramp that is its mean.
    @Test func aRampStaysARamp() throws {
        let shape = ImageShape(height: 16, width: 16, channels: 1)
        let image = (0..<256).map { Float($0 % 16) }
        let values = try resized(image, shape, to: 8)
        for x in 1..<7 { #expect(abs(values[8 * 3 + x] - (2 * Float(x) + 0.5)) < 1e-4) }
    }

    @Test func cropsTheMiddleOfWhatNeedsNoResizing() throws {
        let shape = ImageShape(height: 2, width: 5, channels: 1)
        #expect(try resized([1, 2, 3, 4, 5, 6, 7, 8, 9, 10] as [UInt8], shape, to: 2) == [2, 3, 7, 8])
        let tall = ImageShape(height: 5, width: 2, channels: 1)
        #expect(try resized([1, 2, 3, 4, 5, 6, 7, 8, 9, 10] as [UInt8], tall, to: 2) == [3, 4, 5, 6])
    }

    @Test func resizesOtherFormats() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("images", imagesFile(count: 5, height: 6, width: 4))
        let source = try open(ImageRequest(path: path, imageSize: 2))
        #expect(source.shape == ImageShape(height: 2, width: 2, channels: 1))
        let whole = try source.load(images: 0..<5).pixels
        #expect(whole.count == 20)
        guard case .bytes(.array(let all)) = whole,
            case .bytes(.array(let own)) = try source.load(images: 2..<4).pixels
        else {
            Issue.record("no bytes")
            return
        }
        #expect(Array(all[8..<16]) == own)
        #expect(try source.load(images: 1..<1).pixels == .bytes(.array([])))
        expectInputError("images: has images of 1 channels", "data.channels=3") {
            try open(ImageRequest(path: path, channels: 3))
        }
    }
}
