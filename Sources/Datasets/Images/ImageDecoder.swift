import Collectives

/// A decoded image.
struct DecodedImage {
    let shape: ImageShape
    /// `[height, width, channels]`.
    let pixels: [UInt8]
    let remarks: Set<ImageRemark>
}

/// Why an image can't be decoded.
struct Undecodable: Error, CustomStringConvertible {
    let description: String
}

/// Decodes image files. Their format is recognised by the first bytes, not by the name.
enum ImageDecoder {
    /// The endings of image files' names, in small or capital letters.
    static let extensions = ["jpg", "jpeg", "png"]

    private static let largestFile = 1 << 28
    /// Most pixels; a header that claims more counts as an attack or an error. As RGB these take 384 MiB.
    private static let largestImage = 1 << 27
    /// Most pixels for each byte of a JPEG: a block of 8x8 samples takes at least a bit, and at most 128 pixels share
    /// one. (Arithmetic codes can hold more. Nobody writes them; flat images of that kind are refused.)
    private static let pixelsOfJPEGByte = 8 * 128
    /// Most pixels for each byte of a PNG: deflate turns a byte into at most 1032, and a pixel has at least one bit.
    private static let pixelsOfPNGByte = 8 * 1032

    private enum Kind {
        case jpeg, png

        init?(_ opening: some Sequence<UInt8>) {
            if opening.starts(with: [0xFF, 0xD8, 0xFF]) {
                self = .jpeg
            } else if opening.starts(with: [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]) {
                self = .png
            } else {
                return nil
            }
        }
    }

    /// Whether a file that starts with these bytes is an image file.
    static func isImage(_ opening: [UInt8]) -> Bool { Kind(opening) != nil }

    /// Height and width by the header.
    /// - Throws: `InputError` that begins with the path.
    static func size(of path: String) throws -> (height: Int, width: Int) {
        try naming(path) {
            let file = try contents(path)
            switch try kind(of: file) {
            case .jpeg:
                let jpeg = try JPEGDecoder(file)
                return (jpeg.height, jpeg.width)
            case .png: return try sizeOfPNG(file)
            }
        }
    }

    /// - Parameters:
    ///   - channels: 1 or 3; the image is converted to them.
    ///   - side: the length to which the shorter side will be resized; 0 for no resizing. A much larger JPEG is decoded
    ///     at a smaller scale.
    /// - Throws: `InputError` that begins with the path.
    static func decode(_ path: String, channels: Int, side: Int) throws -> DecodedImage {
        try naming(path) {
            let file = try contents(path)
            switch try kind(of: file) {
            case .jpeg:
                let jpeg = try JPEGDecoder(file)
                try check(jpeg.height, jpeg.width, bytes: file.count, pixelsOfByte: pixelsOfJPEGByte)
                try jpeg.scans.check(pixels: jpeg.height * jpeg.width)
                return try jpeg.decode(channels: channels, side: side)
            case .png:
                return try decodePNG(file, channels: channels) {
                    try check($0, $1, bytes: file.count, pixelsOfByte: pixelsOfPNGByte)
                }
            }
        }
    }

    private static func naming<Result>(_ path: String, _ work: () throws -> Result) throws -> Result {
        do { return try work() } catch let error as Undecodable { throw InputError("\(path): \(error)") }
    }

    private static func contents(_ path: String) throws -> [UInt8] {
        let size = try fileSize(path)
        guard size <= largestFile else {
            throw Undecodable(description: "has \(size) bytes, expected an image of at most \(largestFile)")
        }
        let file = try SystemFile(path, .read)
        return try [UInt8](unsafeUninitializedCapacity: size) { buffer, initialized in
            try file.read(
                into: UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[..<size]), at: 0)
            initialized = size
        }
    }

    private static func kind(of file: [UInt8]) throws -> Kind {
        if let kind = Kind(file) { return kind }
        let found = file.isEmpty ? "is empty" : "starts with \(hexadecimal(file.prefix(4)))"
        throw Undecodable(description: "\(found), expected a JPEG (ff d8 ff) or PNG (89 50 4e 47)")
    }

    /// Compares the header's size with our limit and with the file's bytes, before memory is allocated for it.
    private static func check(_ height: Int, _ width: Int, bytes: Int, pixelsOfByte: Int) throws {
        guard height > 0, width > 0, height <= largestImage / width else {
            throw Undecodable(
                description: "has \(height)x\(width) pixels by its header, expected 1 to \(largestImage) in total")
        }
        guard height * width <= bytes * pixelsOfByte else {
            throw Undecodable(
                description: "has \(height)x\(width) pixels by its header, more than its \(bytes) bytes can hold")
        }
    }
}

/// Bytes as two digits each.
func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ")
}
