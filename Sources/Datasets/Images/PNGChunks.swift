/// A PNG's chunks up to its end, of which only those are kept that pixels depend on.
///
/// libpng allocates what a chunk's length claims before it has seen the bytes, and unpacks compressed texts and colour
/// profiles to any size. What says which light the bytes stand for would make it change them.
struct PNGChunks {
    /// A whole PNG.
    private(set) var used: [UInt8]
    /// What the other chunks tell.
    private(set) var remarks: Set<ImageRemark> = []

    private static let signature = 8

    /// - Throws: `Undecodable` where a chunk is longer than the rest of the file.
    init(_ file: [UInt8]) throws {
        used = Array(file.prefix(Self.signature))
        used.reserveCapacity(file.count)
        var place = Self.signature
        var (gamma, hasSRGB): (Int?, Bool) = (nil, false)
        while place < file.count {
            // Length, type, data and checksum.
            guard file.count - place >= 12 else {
                throw Undecodable(description: "broken PNG: ends within a chunk, at byte \(file.count)")
            }
            let length = Self.number(file[place..<place + 4])
            let type = String(decoding: file[place + 4..<place + 8], as: UTF8.self)
            guard length <= file.count - place - 12 else {
                throw Undecodable(
                    description: "broken PNG: a chunk \(type) of \(length) bytes at byte \(place) of \(file.count)")
            }
            let data = file[place + 8..<place + 8 + length]
            let isCritical = file[place + 4] & 0x20 == 0  // a capital letter
            if isCritical || type == "tRNS" { used += file[place..<place + 12 + length] }
            switch type {
            case "acTL": remarks.insert(.animated)
            case "eXIf": if orientation(ofTIFF: data) != 1 { remarks.insert(.turned) }
            case "gAMA": gamma = length == 4 ? Self.number(data) : nil
            case "sRGB": hasSRGB = true
            default: break
            }
            if type == "IEND" { break }
            place += 12 + length
        }
        if let gamma, !hasSRGB, Self.isTaken(gamma: gamma) { remarks.insert(.readOtherwiseByVersion1) }
    }

    /// Whether libpng changes pixels for a gAMA chunk's value, 100,000 times the exponent: not where it is 1/2.2 to 5 %.
    private static func isTaken(gamma: Int) -> Bool { gamma >= 16 && abs(Double(gamma) * 2.2e-5 - 1) > 0.05 }

    /// Of bytes, the highest first.
    private static func number(_ bytes: ArraySlice<UInt8>) -> Int { bytes.reduce(0) { $0 << 8 | Int($1) } }
}
