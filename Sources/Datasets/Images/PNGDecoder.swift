import CPNG

/// Height and width by a PNG's header.
func sizeOfPNG(_ file: [UInt8]) throws -> (height: Int, width: Int) {
    try withPNG(PNGChunks(file)) { (Int($0.pointee.height), Int($0.pointee.width)) }
}

/// Decodes a PNG to its stored bytes. Colour spaces (gAMA, cHRM, sRGB, iCCP) are ignored, as in Pillow, torchvision and
/// OpenCV, and as for JPEG. Palettes and few bits are expanded. Of 16 bits the high byte is used. Transparent pixels
/// are blended with black, value by value. C: `png_image_finish_read`.
///
/// - Parameters:
///   - channels: 1 or 3.
///   - check: throws for a height and width that are too large.
func decodePNG(_ file: [UInt8], channels: Int, check: (Int, Int) throws -> Void) throws -> DecodedImage {
    let chunks = try PNGChunks(file)
    return try withPNG(chunks) { image in
        let shape = ImageShape(
            height: Int(image.pointee.height), width: Int(image.pointee.width), channels: channels)
        try check(shape.height, shape.width)
        let samples = PNGSamples(of: image.pointee.format, channels: channels)
        var remarks = chunks.remarks
        let capacity = shape.height * shape.width * samples.bytesOfPixel
        let pixels = try [UInt8](unsafeUninitializedCapacity: capacity) { buffer, initialized in
            image.pointee.format = samples.format
            guard png_image_finish_read(image, nil, buffer.baseAddress, 0, nil) != 0 else {
                throw Undecodable(description: "broken PNG: \(message(image.pointee))")
            }
            remarks.formUnion(samples.narrow(UnsafeMutableRawBufferPointer(buffer), channels: channels))
            initialized = shape.size
        }
        return DecodedImage(shape: shape, pixels: pixels, remarks: remarks)
    }
}

/// The format that libpng decodes a PNG to: one in which it doesn't convert colour spaces. So the alpha of 8-bit values
/// stays separate. Values of 16 bits are linear for libpng, so it doesn't convert them, and multiplies them by alpha.
private struct PNGSamples {
    /// Values of a pixel without alpha, 1 or 3.
    private let colours: Int
    private let isWide: Bool
    private let isTransparent: Bool
    /// Whether alpha is beside the colours, in the memory that libpng fills.
    private var hasAlpha: Bool { isTransparent && !isWide }

    /// - Parameter format: the file's format, by libpng.
    init(of format: UInt32, channels: Int) {
        isWide = format & UInt32(PNG_FORMAT_FLAG_LINEAR) != 0
        isTransparent = format & UInt32(PNG_FORMAT_FLAG_ALPHA) != 0
        colours = channels == 3 || format & UInt32(PNG_FORMAT_FLAG_COLOR) != 0 ? 3 : 1
    }

    var format: UInt32 {
        var flags: UInt32 = 0
        if colours == 3 { flags |= UInt32(PNG_FORMAT_FLAG_COLOR) }
        if hasAlpha { flags |= UInt32(PNG_FORMAT_FLAG_ALPHA) }
        if isWide { flags |= UInt32(PNG_FORMAT_FLAG_LINEAR) }
        return flags
    }

    var bytesOfPixel: Int { (colours + (hasAlpha ? 1 : 0)) * (isWide ? 2 : 1) }

    /// Converts libpng's pixels to `[height, width, channels]`, in the same memory from the front, because nothing
    /// grows.
    func narrow(_ memory: UnsafeMutableRawBufferPointer, channels: Int) -> Set<ImageRemark> {
        let pixels = memory.count / bytesOfPixel
        let bytes = memory.assumingMemoryBound(to: UInt8.self)
        var remarks: Set<ImageRemark> = []
        if isWide {
            var all: UInt16 = 0
            for index in 0..<pixels * colours {
                let value = memory.load(fromByteOffset: 2 * index, as: UInt16.self)
                all |= value
                bytes[index] = UInt8(truncatingIfNeeded: value >> 8)
            }
            remarks.formUnion([.sixteenBits, .readOtherwiseByVersion1])
            if (1..<1 << 12).contains(all) { remarks.insert(.twelveBits) }
            if isTransparent { remarks.insert(.transparent) }
        }
        if hasAlpha { remarks.formUnion(blend(bytes, pixels: pixels)) }
        if channels == 1 && colours == 3 {
            for pixel in 0..<pixels {
                bytes[pixel] = grey(bytes[3 * pixel], bytes[3 * pixel + 1], bytes[3 * pixel + 2])
            }
            remarks.insert(.readOtherwiseByVersion1)
        }
        return remarks
    }

    /// Blends pixels with black. Each pixel's alpha is after its colours.
    private func blend(_ bytes: UnsafeMutableBufferPointer<UInt8>, pixels: Int) -> Set<ImageRemark> {
        guard var target = bytes.baseAddress else { return [] }
        var source = target
        var (isTransparent, isHalf) = (false, false)
        for _ in 0..<pixels {
            let alpha = UInt32(source[colours])
            if alpha < 255 { isTransparent = true }
            for colour in 0..<colours {
                let value = UInt32(source[colour])
                if alpha < 255 && alpha > 0 && value > 0 { isHalf = true }
                target[colour] = UInt8(truncatingIfNeeded: (value &* alpha &+ 127) / 255)
            }
            source += colours + 1
            target += colours
        }
        guard isTransparent else { return [] }
        return isHalf ? [.transparent, .readOtherwiseByVersion1] : [.transparent]
    }
}

/// Grey of a colour by ITU-R BT.601, as in JPEG, rounded as by Pillow.
func grey(_ red: UInt8, _ green: UInt8, _ blue: UInt8) -> UInt8 {
    var sum = 19595 * Int(red)
    sum += 38470 * Int(green)
    sum += 7471 * Int(blue)
    return UInt8((sum + 32768) >> 16)
}

/// An image whose header has been read. libpng keeps the addresses of both it and the file.
/// C: `png_image_begin_read_from_memory`.
private func withPNG<Result>(
    _ chunks: PNGChunks, _ body: (UnsafeMutablePointer<png_image>) throws -> Result
) throws -> Result {
    var image = png_image()
    return try chunks.used.withUnsafeBytes { file in
        try withUnsafeMutablePointer(to: &image) { image in
            image.pointee.version = UInt32(PNG_IMAGE_VERSION)
            defer { png_image_free(image) }
            guard png_image_begin_read_from_memory(image, file.baseAddress, file.count) != 0 else {
                throw Undecodable(description: "broken PNG header: \(message(image.pointee))")
            }
            return try body(image)
        }
    }
}

private func message(_ image: png_image) -> String {
    withUnsafeBytes(of: image.message) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
}
