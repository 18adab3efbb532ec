import CZlib
import Collectives
import Foundation
import Testing

@testable import Datasets

struct ImageDecoderTests {
    private static let names: [String] = (try? ImageFixtures.load())?.rgb.keys.sorted() ?? []

    /// Palettes, 1 to 16 bits, transparency of each kind, interlaced, and whatever is said of the light: bytes are
    /// bytes.
    @Test(arguments: names) func decodesAsPillowDoes(_ name: String) throws {
        let fixtures = try ImageFixtures.load()
        for (channels, file) in [(3, fixtures.rgb[name]), (1, fixtures.grey[name])] {
            let image = try ImageDecoder.decode(ImageFixtures.path(name), channels: channels, side: 0)
            #expect(image.shape == ImageShape(height: fixtures.height, width: fixtures.width, channels: channels))
            let expected = ImageFixtures.bytes(try #require(file))
            let distance = try #require(largestDistance(image.pixels, expected))
            #expect(distance <= (name.hasSuffix(".jpg") ? 2 : 0), "\(distance) of \(channels) channels")
        }
    }

    @Test func thereAreManyKinds() { #expect(Self.names.count > 30) }

    /// Of all fixtures, which have a remark.
    @Test(arguments: [
        ("sixteenBits", "alpha16 grey12 grey16-alpha grey16-interlaced grey16 rgb16-interlaced rgb16"),
        ("twelveBits", "grey12"),
        ("transparent", "alpha alpha16 gamma-alpha grey-alpha grey-key grey16-alpha palette-alpha rgb-key"),
        ("turned", "turned"), ("animated", ""), ("inks", "cmyk"),
    ])
    func tellsWhatIsConverted(_ remark: String, _ expected: String) throws {
        let found = try Self.names.filter { name in
            let image = try ImageDecoder.decode(ImageFixtures.path(name), channels: 3, side: 0)
            return image.remarks.contains { "\($0)" == remark }
        }
        #expect(found.map { String($0.dropLast(4)) }.joined(separator: " ") == expected)
    }

    /// By version 1 of reading, in colour and in grey: what is given is what libpng's own conversion made other bytes
    /// of.
    @Test func knowsWhichPixelsWereOther() throws {
        func found(channels: Int) throws -> [String] {
            try Self.names.filter { name in
                try ImageDecoder.decode(ImageFixtures.path(name), channels: channels, side: 0).remarks
                    .contains(.readOtherwiseByVersion1)
            }
        }
        let wide = ["alpha16", "grey12", "grey16", "grey16-alpha", "grey16-interlaced", "rgb16", "rgb16-interlaced"]
        let others = ["alpha", "chromaticities", "gamma", "gamma-alpha", "gamma-grey", "grey-alpha", "palette-alpha"]
        let colour = (wide + others).map { $0 + ".png" }
        #expect(try found(channels: 3) == colour.sorted())
        let coloured = [
            "interlaced", "palette", "palette1", "palette2", "palette4", "profile", "rgb", "rgb-key", "standard",
        ]
        #expect(try found(channels: 1) == (colour + coloured.map { $0 + ".png" } + ["cmyk.jpg"]).sorted())
    }

    @Test func animationsAreRemarked() throws {
        let folder = try TemporaryFolder()
        var file = try ImageFixtures.file("rgb.png")
        let body = Array("acTL".utf8) + bigEndian(2) + bigEndian(0)
        let checksum = body.withUnsafeBytes { crc32_z(0, $0.bindMemory(to: UInt8.self).baseAddress, body.count) }
        file.insert(contentsOf: bigEndian(8) + body + bigEndian(Int(checksum)), at: 33)
        let path = try folder.write("x.png", file)
        #expect(try ImageDecoder.decode(path, channels: 3, side: 0).remarks == [.animated])
    }

    /// Of either byte order; damaged ones say nothing.
    @Test func findsTheOrientation() {
        let big: [UInt8] = [0x4D, 0x4D, 0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0]
        let little: [UInt8] = [0x49, 0x49, 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 0x01, 3, 0, 1, 0, 0, 0, 8, 0, 0, 0]
        #expect(orientation(ofTIFF: big[...]) == 6)
        #expect(orientation(ofTIFF: ([1, 2, 3] + little).dropFirst(3)) == 8)
        for count in 0..<20 { #expect(orientation(ofTIFF: big.prefix(count)) == 1) }
        #expect(orientation(ofTIFF: (big.prefix(7) + [200] + big.dropFirst(8))[...]) == 1)
        #expect(orientation(ofTIFF: (big.prefix(19) + [9, 0, 0])[...]) == 1)
        #expect(orientation(ofJPEG: [0xFF, 0xD8, 0xFF, 0xE1, 0xFF, 0xFF]) == 1)
    }

    /// Each part of a broken file has to be found out, for some pixels would be made up.
    @Test(arguments: names) func refusesTruncatedFiles(_ name: String) throws {
        let folder = try TemporaryFolder()
        let whole = try ImageFixtures.file(name)
        for count in [3, 8, 20, whole.count / 2, whole.count - 20] {
            let path = try folder.write(name, Array(whole.prefix(count)))
            expectInputError("\(path): ") { try ImageDecoder.decode(path, channels: 3, side: 0) }
        }
    }

    @Test func refusesDamagedPixels() throws {
        let folder = try TemporaryFolder()
        var file = try ImageFixtures.file("rgb.png")
        file[file.count / 2] ^= 0x55
        let path = try folder.write("x.png", file)
        expectInputError("x.png: broken PNG: ") { try ImageDecoder.decode(path, channels: 3, side: 0) }
    }

    @Test func toleratesWhatHarmsNoPixel() throws {
        let folder = try TemporaryFolder()
        let file = try ImageFixtures.file("rgb.jpg")
        let whole = try ImageDecoder.decode(ImageFixtures.path("rgb.jpg"), channels: 3, side: 0)
        let longer = try folder.write("x.jpg", file + [1, 2, 3])
        #expect(try ImageDecoder.decode(longer, channels: 3, side: 0).pixels == whole.pixels)
        // Two stray bytes before the end marker, as some cameras leave them.
        let stray = try folder.write("y.jpg", Array(file.dropLast(2)) + [0, 0, 0xFF, 0xD9])
        #expect(try ImageDecoder.decode(stray, channels: 3, side: 0).pixels == whole.pixels)
    }

    @Test func contentCountsAndNotTheName() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("x.png", try ImageFixtures.file("rgb.jpg"))
        #expect(try ImageDecoder.decode(path, channels: 3, side: 0).shape.height == 18)
        let text = try folder.write("y.png", Array("hello".utf8))
        expectInputError("y.png: starts with 68 65 6c 6c", "JPEG (ff d8 ff) or PNG (89 50 4e 47)") {
            try ImageDecoder.decode(text, channels: 3, side: 0)
        }
        let empty = try folder.write("z.jpg", [])
        expectInputError("z.jpg: is empty") { try ImageDecoder.decode(empty, channels: 3, side: 0) }
        expectInputError("none.jpg: can't be opened") {
            try ImageDecoder.decode(folder.path + "/none.jpg", channels: 3, side: 0)
        }
    }

    /// Nothing is allocated for a size that only a header claims: neither for one that is never decoded, nor for one
    /// that so few bytes can't hold.
    @Test(arguments: [(60000, "expected 1 to 134217728"), (8000, "bytes can hold")])
    func refusesHugeHeaders(_ side: Int, _ reason: String) throws {
        let folder = try TemporaryFolder()
        var png = try ImageFixtures.file("rgb.png")
        png.replaceSubrange(16..<24, with: bigEndian(side) + bigEndian(side))
        let checksum = png[12..<29].withUnsafeBytes { crc32_z(0, $0.bindMemory(to: UInt8.self).baseAddress, 17) }
        png.replaceSubrange(29..<33, with: bigEndian(Int(checksum)))
        var jpeg = try ImageFixtures.file("rgb.jpg")
        let frame = try #require((0..<jpeg.count).first { jpeg[$0] == 0xFF && jpeg[$0 + 1] == 0xC0 })
        let sides = bigEndian(side).suffix(2)
        jpeg.replaceSubrange(frame + 5..<frame + 9, with: sides + sides)
        for (name, file) in [("x.png", png), ("x.jpg", jpeg)] {
            let path = try folder.write(name, file)
            expectInputError("\(name): has \(side)x\(side) pixels", reason) {
                try ImageDecoder.decode(path, channels: 3, side: 32)
            }
        }
    }

    /// libpng would allocate it.
    @Test func refusesChunksLongerThanTheFile() throws {
        let folder = try TemporaryFolder()
        var file = try ImageFixtures.file("rgb.png")
        file.insert(contentsOf: [0x7F, 0, 0, 1] + Array("tEXtTitle\0".utf8), at: 33)
        let path = try folder.write("x.png", file)
        expectInputError("x.png: broken PNG: a chunk tEXt of 2130706433 bytes at byte 33 of \(file.count)") {
            try ImageDecoder.decode(path, channels: 3, side: 0)
        }
    }

    /// Each would be unpacked, to 8 MB.
    @Test func looksAtNoTexts() throws {
        let folder = try TemporaryFolder()
        var file = try ImageFixtures.file("rgb.png")
        let whole = try ImageDecoder.decode(ImageFixtures.path("rgb.png"), channels: 3, side: 0)
        let text = [UInt8](repeating: 0x41, count: 8_000_000 - 100)
        var size = compressBound(uLong(text.count))
        var packed = [UInt8](repeating: 0, count: Int(size))
        #expect(compress(&packed, &size, text, uLong(text.count)) == Z_OK)
        let body = Array("zTXtComment\0\0".utf8) + packed.prefix(Int(size))
        let checksum = body.withUnsafeBytes { crc32_z(0, $0.bindMemory(to: UInt8.self).baseAddress, body.count) }
        let chunk = bigEndian(body.count - 4) + body + bigEndian(Int(checksum))
        file.insert(contentsOf: (0..<200).flatMap { _ in chunk }, at: 33)
        let path = try folder.write("x.png", file)
        let before = try peakMemory()
        #expect(try ImageDecoder.decode(path, channels: 3, side: 0).pixels == whole.pixels)
        #expect(try peakMemory() - before < 200 << 20)
    }

    /// Bytes of memory that this process has had at most.
    private func peakMemory() throws -> Int {
        var usage = rusage()
        try #require(getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0)
        return usage.ru_maxrss * 1024
    }

    @Test func countsScansOfJPEGFiles() throws {
        let baseline = JPEGScans(try ImageFixtures.file("rgb.jpg"))
        #expect(baseline.count == 1 && !baseline.areKept)
        let file = try ImageFixtures.file("progressive.jpg")
        let progressive = JPEGScans(file)
        #expect(progressive.count == 10 && progressive.areKept)
        try baseline.check(pixels: 1 << 27)
        try progressive.check(pixels: 1 << 26)
        #expect(throws: Undecodable.self) { try progressive.check(pixels: 1 << 26 + 1) }
        // The last scan, without end, 400 times more: nothing for a small image, minutes for a large one.
        let last = try #require((0..<file.count - 1).last { file[$0] == 0xFF && file[$0 + 1] == 0xDA })
        var long = Array(file.prefix(last))
        for _ in 0..<400 { long += file[last..<last + 10] }
        let scans = JPEGScans(long)
        #expect(scans.count == 409)
        try scans.check(pixels: 1 << 22)
        #expect(throws: Undecodable.self) { try scans.check(pixels: 1 << 26) }
    }

    /// A large JPEG is decoded at half its size where that leaves twice the pixels asked for.
    @Test func decodesLargeImagesSmaller() throws {
        let path = ImageFixtures.path("rgb.jpg")
        #expect(try ImageDecoder.decode(path, channels: 3, side: 5).shape.height == 18)
        let half = try ImageDecoder.decode(path, channels: 3, side: 4)
        #expect(half.shape == ImageShape(height: 9, width: 12, channels: 3))
        let whole = try ImageDecoder.decode(path, channels: 3, side: 0)
        var difference = 0
        for y in 0..<9 {
            for x in 0..<12 {
                for c in 0..<3 {
                    let four = [(0, 0), (0, 1), (1, 0), (1, 1)].map {
                        Int(whole.pixels[((2 * y + $0) * 24 + 2 * x + $1) * 3 + c])
                    }
                    difference += abs(Int(half.pixels[(y * 12 + x) * 3 + c]) - four.reduce(0, +) / 4)
                }
            }
        }
        #expect(difference < 5 * 9 * 12 * 3, "mean \(Double(difference) / 324)")
    }
}
