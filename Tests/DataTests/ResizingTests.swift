import Collectives
import Testing

@testable import Data

struct ResizingTests {
    private func resized<Value: ResizableValue>(_ image: [Value], _ shape: ImageShape, to side: Int) throws -> [Value] {
        var result = [Value](repeating: .zero, count: side * side * shape.channels)
        try result.withUnsafeMutableBufferPointer { result in
            try image.withUnsafeBufferPointer { image in
                try resizeAndCrop(
                    try #require(image.baseAddress), shape, to: side, into: try #require(result.baseAddress))
            }
        }
        return result
    }

    /// Pillow leaves out what lies beyond an edge, stb repeats the edge: pixels there may differ a little more.
    @Test(arguments: [5, 8, 18, 27]) func agreesWithPillow(side: Int) throws {
        let fixtures = try ImageFixtures.load()
        let image = try ImageDecoder.decode(ImageFixtures.path("rgb.png"), channels: 3, side: 0)
        let values = try resized(image.pixels, image.shape, to: side)
        let expected = ImageFixtures.bytes(try #require(fixtures.resized["\(side)"]))
        try #require(values.count == expected.count)
        var (inner, edge) = (0, 0)
        for y in 0..<side {
            for x in 0..<side {
                for c in 0..<3 {
                    let place = (y * side + x) * 3 + c
                    let distance = abs(Int(values[place]) - Int(expected[place]))
                    // The crop's left and right lie inside the image.
                    if y == 0 || y == side - 1 { edge = max(edge, distance) } else { inner = max(inner, distance) }
                }
            }
        }
        #expect(inner <= 1, "inner \(inner)")
        #expect(edge <= (side < 18 ? 12 : 1), "edge \(edge)")
    }

    @Test func aConstantStaysAndFloatsAreNotClamped() throws {
        let shape = ImageShape(height: 7, width: 12, channels: 5)
        let image = (0..<shape.size).map { Float($0 % 5) * 1000 - 2000 }
        let values = try resized(image, shape, to: 4)
        for (place, value) in values.enumerated() {
            #expect(abs(value - (Float(place % 5) * 1000 - 2000)) < 1e-2)
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
        guard case .bytes(let all) = whole, case .bytes(let own) = try source.load(images: 2..<4).pixels else {
            Issue.record("no bytes")
            return
        }
        #expect(Array(all[8..<16]) == own)
        #expect(try source.load(images: 1..<1).pixels == .bytes([]))
        expectInputError("images: images have 1 channels", "data.channels=3") {
            try open(ImageRequest(path: path, channels: 3))
        }
    }
}
