/// The scans of a JPEG over its pixels: one, or several with increasing detail (progressive), or one for each colour. A
/// few bytes can request hundreds of scans.
struct JPEGScans {
    private(set) var count = 0
    /// libjpeg-turbo keeps the coefficients of the whole image, two bytes each, until the last scan.
    private(set) var areKept = false

    /// Most pixels if coefficients are kept. With coefficients, pixels and their conversion, that takes less than 1 GB.
    private static let largestKeptImage = 1 << 26
    /// Most pixels of all scans together, which take a second or two.
    private static let mostPixelsOfAllScans = 1 << 31

    /// Goes from marker to marker, and skips other bytes as libjpeg-turbo does.
    init(_ file: [UInt8]) {
        var offset = 2
        var components: UInt8 = 0
        while offset + 9 < file.count {
            guard file[offset] == 0xFF else {
                offset += 1
                continue
            }
            let marker = file[offset + 1]
            switch marker {
            case 0xFF:  // padding
                offset += 1
                continue
            case 0x00, 0x01, 0xD0...0xD8:  // without a length
                offset += 2
                continue
            case 0xD9: return
            case 0xC4, 0xC8, 0xCC: break
            case 0xC0...0xCF:
                components = file[offset + 9]
                areKept = areKept || marker & 3 == 2
            case 0xDA:
                count += 1
                areKept = areKept || file[offset + 4] < components
            default: break
            }
            offset += 2 + max(2, Int(file[offset + 2]) << 8 | Int(file[offset + 3]))
        }
    }

    /// Throws where decoding this number of pixels takes too much memory or time.
    func check(pixels: Int) throws {
        guard !areKept || pixels <= Self.largestKeptImage else {
            throw Undecodable(
                description: "is a progressive JPEG of \(pixels) pixels, expected at most \(Self.largestKeptImage): "
                    + "save it as a baseline JPEG")
        }
        guard count * pixels <= Self.mostPixelsOfAllScans else {
            throw Undecodable(
                description: "has \(count) scans of \(pixels) pixels, expected at most "
                    + "\(Self.mostPixelsOfAllScans / pixels) of this size")
        }
    }
}
