import CPNG

/// Height and width by a PNG's header.
func sizeOfPNG(_ file: [UInt8]) throws -> (height: Int, width: Int) {
    try withPNG(file) { (Int($0.pointee.height), Int($0.pointee.width)) }
}

/// Any PNG as bytes: palettes and few bits are expanded, 16 bits rounded to 8, what is transparent lies on black.
/// Grey of colours is libpng's, weighted by their light.
/// C: `png_image_finish_read`.
///
/// - Parameters:
///   - channels: 1 or 3.
///   - check: throws for a height and width that are too large.
func decodePNG(_ file: [UInt8], channels: Int, check: (Int, Int) throws -> Void) throws -> DecodedImage {
    try withPNG(file) { image in
        image.pointee.flags |= UInt32(PNG_IMAGE_FLAG_16BIT_sRGB)  // else libpng takes 16 bits for linear light
        image.pointee.format = channels == 1 ? 0 : UInt32(PNG_FORMAT_FLAG_COLOR)
        let shape = ImageShape(
            height: Int(image.pointee.height), width: Int(image.pointee.width), channels: channels)
        try check(shape.height, shape.width)
        var pixels = [UInt8](repeating: 0, count: shape.size)
        var black = png_color()
        guard png_image_finish_read(image, &black, &pixels, 0, nil) != 0 else {
            throw Undecodable(description: "broken PNG: \(message(image.pointee))")
        }
        return DecodedImage(shape: shape, pixels: pixels)
    }
}

/// An image whose header has been read. libpng keeps the addresses of both it and the file.
/// C: `png_image_begin_read_from_memory`.
private func withPNG<Result>(
    _ file: [UInt8], _ body: (UnsafeMutablePointer<png_image>) throws -> Result
) throws -> Result {
    var image = png_image()
    return try withoutUnusedChunks(file).withUnsafeBytes { file in
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

/// A PNG without the chunks that no pixel depends on, up to its end. libpng allocates what a chunk's length claims before
/// it has seen the bytes, and unpacks compressed texts and colour profiles to any size.
/// - Throws: `Undecodable` where a chunk is longer than the rest of the file.
private func withoutUnusedChunks(_ file: [UInt8]) throws -> [UInt8] {
    let signature = 8
    let used = ["tRNS", "gAMA", "cHRM", "sRGB"]
    var result = Array(file.prefix(signature))
    result.reserveCapacity(file.count)
    var place = signature
    while place < file.count {
        // Length, type, data and checksum.
        guard file.count - place >= 12 else {
            throw Undecodable(description: "broken PNG: ends within a chunk, at byte \(file.count)")
        }
        let length = file[place..<place + 4].reduce(0) { $0 << 8 | Int($1) }
        let type = String(decoding: file[place + 4..<place + 8], as: UTF8.self)
        guard length <= file.count - place - 12 else {
            throw Undecodable(
                description: "broken PNG: a chunk \(type) of \(length) bytes at byte \(place) of \(file.count)")
        }
        let isCritical = file[place + 4] & 0x20 == 0  // a capital letter
        if isCritical || used.contains(type) { result += file[place..<place + 12 + length] }
        if type == "IEND" { break }
        place += 12 + length
    }
    return result
}

private func message(_ image: png_image) -> String {
    withUnsafeBytes(of: image.message) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
}
