/// How often a JPEG goes over its pixels: once, or several times with ever more detail (progressive), or for each colour.
/// A few bytes can ask for hundreds of times.
struct JPEGScans {
    private(set) var count = 0
    /// libjpeg-turbo keeps the coefficients of the whole image, two bytes each, until the last scan.
    private(set) var areKept = false

    /// With coefficients, pixels and their conversion such an image takes less than 1 GB.
    private static let largestKeptImage = 1 << 26
    /// A second or two.
    private static let mostPixelsOfAllScans = 1 << 31

    /// Walks from marker to marker, and over what is none as libjpeg-turbo does.
    init(_ file: [UInt8]) {
        var place = 2
        var components: UInt8 = 0
        while place + 9 < file.count {
            guard file[place] == 0xFF else {
                place += 1
                continue
            }
            let marker = file[place + 1]
            switch marker {
            case 0xFF:  // fills up
                place += 1
                continue
            case 0x00, 0x01, 0xD0...0xD8:  // without a length
                place += 2
                continue
            case 0xD9: return
            case 0xC4, 0xC8, 0xCC: break
            case 0xC0...0xCF:
                components = file[place + 9]
                areKept = areKept || marker & 3 == 2
            case 0xDA:
                count += 1
                areKept = areKept || file[place + 4] < components
            default: break
            }
            place += 2 + max(2, Int(file[place + 2]) << 8 | Int(file[place + 3]))
        }
    }

    /// Throws where decoding so many pixels takes too much memory or time.
    func check(pixels: Int) throws {
        guard !areKept || pixels <= Self.largestKeptImage else {
            throw Undecodable(
                description: "\(pixels) pixels of a progressive JPEG, expected at most \(Self.largestKeptImage): "
                    + "save it as a baseline one")
        }
        guard count * pixels <= Self.mostPixelsOfAllScans else {
            throw Undecodable(
                description: "\(count) scans of \(pixels) pixels, expected at most "
                    + "\(Self.mostPixelsOfAllScans / pixels) of so many")
        }
    }
}
