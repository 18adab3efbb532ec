import CTurboJPEG

/// libjpeg-turbo for one file. After an error its state isn't reliable (2.1 leaves a header half read), so each file
/// has its own decoder.
final class JPEGDecoder {
    let height: Int
    let width: Int
    let scans: JPEGScans
    private let isCMYK: Bool
    private let file: [UInt8]
    private let handle: tjhandle

    /// Warnings about complete files. Any other warning means that pixels are missing or invented.
    private static let harmless = [
        "extraneous bytes before marker", "Unknown Adobe color transform", "unknown JFIF revision",
        "Invalid SOS parameters for sequential",
    ]

    /// Reads the header. C: `tjDecompressHeader3`.
    init(_ file: [UInt8]) throws {
        guard let handle = tjInitDecompress() else {
            throw Undecodable(description: "libjpeg-turbo can't start: \(String(cString: tjGetErrorStr2(nil)))")
        }
        var (height, width, subsampling, space): (Int32, Int32, Int32, Int32) = (-1, -1, -1, -1)
        // It also fails for rare subsamplings, which the decoder supports. So its results count, not its status.
        tjDecompressHeader3(handle, file, UInt(file.count), &width, &height, &subsampling, &space)
        guard height > 0, width > 0, space >= 0 else {
            defer { tjDestroy(handle) }
            throw Undecodable(description: "broken JPEG header: \(String(cString: tjGetErrorStr2(handle)))")
        }
        self.height = Int(height)
        self.width = Int(width)
        scans = JPEGScans(file)
        self.file = file
        self.handle = handle
        isCMYK = [TJCS_CMYK.rawValue, TJCS_YCCK.rawValue].contains(UInt32(space))
    }

    deinit { tjDestroy(handle) }

    /// The image. Its scale is a half, a quarter or an eighth if the shorter side is then still at least twice `side`;
    /// with `side` 0 it is 1. EXIF's orientation is ignored. The caller has checked the size. C: `tjDecompress2`.
    func decode(channels: Int, side: Int) throws -> DecodedImage {
        let divisor = side == 0 ? 1 : [8, 4, 2].first { min(height, width) >= 2 * side * $0 } ?? 1
        let shape = ImageShape(
            height: (height + divisor - 1) / divisor, width: (width + divisor - 1) / divisor, channels: channels)
        let stored = isCMYK ? 4 : channels
        let format = isCMYK ? TJPF_CMYK : channels == 1 ? TJPF_GRAY : TJPF_RGB
        var pixels = [UInt8](repeating: 0, count: shape.height * shape.width * stored)
        let status = tjDecompress2(
            handle, file, UInt(file.count), &pixels, Int32(shape.width), 0, Int32(shape.height),
            Int32(format.rawValue), TJFLAG_LIMITSCANS)
        if status != 0 {
            let reason = String(cString: tjGetErrorStr2(handle))
            guard tjGetErrorCode(handle) == TJERR_WARNING.rawValue, Self.harmless.contains(where: reason.contains)
            else { throw Undecodable(description: "broken JPEG: \(reason)") }
        }
        var remarks: Set<ImageRemark> = orientation(ofJPEG: file) == 1 ? [] : [.turned]
        guard isCMYK else { return DecodedImage(shape: shape, pixels: pixels, remarks: remarks) }
        remarks.insert(.inks)
        if channels == 1 { remarks.insert(.readOtherwiseByVersion1) }
        return DecodedImage(
            shape: shape, pixels: Self.converted(cmyk: pixels, channels: channels), remarks: remarks)
    }

    /// CMYK as Adobe's programs store it, 255 for no ink: red is C·K/255, and so on.
    private static func converted(cmyk: [UInt8], channels: Int) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(cmyk.count / 4 * channels)
        for start in stride(from: 0, to: cmyk.count, by: 4) {
            let black = Int(cmyk[start + 3])
            let red = UInt8(Int(cmyk[start]) * black / 255)
            let green = UInt8(Int(cmyk[start + 1]) * black / 255)
            let blue = UInt8(Int(cmyk[start + 2]) * black / 255)
            if channels == 1 { result.append(grey(red, green, blue)) } else { result += [red, green, blue] }
        }
        return result
    }
}
