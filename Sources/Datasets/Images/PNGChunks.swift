/// A PNG's chunks up to its end. Only those that determine pixels are kept.
///
/// libpng allocates a chunk's claimed length before it has seen the bytes, and unpacks compressed texts and colour
/// profiles to any size. Chunks about colour spaces would make it change pixel values.
struct PNGChunks {
    /// A complete PNG of the chunks that are kept.
    private(set) var used: [UInt8]
    /// Remarks from the other chunks.
    private(set) var remarks: Set<ImageRemark> = []

    private static let signature = 8

    /// - Throws: `Undecodable` where a chunk is longer than the rest of the file.
    init(_ file: [UInt8]) throws {
        used = Array(file.prefix(Self.signature))
        used.reserveCapacity(file.count)
        var offset = Self.signature
        var (gamma, hasSRGB): (Int?, Bool) = (nil, false)
        while offset < file.count {
            // Length, type, data and checksum.
            guard file.count - offset >= 12 else {
                throw Undecodable(description: "broken PNG: ends within a chunk, at byte \(file.count)")
            }
            let length = Self.number(file[offset..<offset + 4])
            let type = String(decoding: file[offset + 4..<offset + 8], as: UTF8.self)
            guard length <= file.count - offset - 12 else {
                throw Undecodable(
                    description: "broken PNG: a chunk \(type) of \(length) bytes at byte \(offset) of \(file.count)")
            }
            let data = file[offset + 8..<offset + 8 + length]
            let isCritical = file[offset + 4] & 0x20 == 0  // a capital letter
            if isCritical || type == "tRNS" { used += file[offset..<offset + 12 + length] }
            switch type {
            case "acTL": remarks.insert(.animated)
            case "eXIf": if orientation(ofTIFF: data) != 1 { remarks.insert(.turned) }
            case "gAMA": gamma = length == 4 ? Self.number(data) : nil
            case "sRGB": hasSRGB = true
            default: break
            }
            if type == "IEND" { break }
            offset += 12 + length
        }
        if let gamma, !hasSRGB, Self.isTaken(gamma: gamma) { remarks.insert(.readOtherwiseByVersion1) }
    }

    /// Whether libpng changes pixels for a gAMA chunk's value, which is 100,000 times the exponent. It doesn't if the
    /// exponent is within 5 % of 1/2.2.
    private static func isTaken(gamma: Int) -> Bool { gamma >= 16 && abs(Double(gamma) * 2.2e-5 - 1) > 0.05 }

    /// A number of bytes, the highest first.
    private static func number(_ bytes: ArraySlice<UInt8>) -> Int { bytes.reduce(0) { $0 << 8 | Int($1) } }
}
