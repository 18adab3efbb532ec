/// How EXIF says that a JPEG is to be turned or mirrored to stand upright, 1 to 8: 1 for not at all, and where it says nothing.
func orientation(ofJPEG file: [UInt8]) -> Int {
    var place = 2
    while place + 4 <= file.count, file[place] == 0xFF, file[place + 1] != 0xDA {  // the pixels
        let end = place + 2 + (Int(file[place + 2]) << 8 | Int(file[place + 3]))
        guard end >= place + 4, end <= file.count else { break }
        let data = file[place + 4..<end]
        if file[place + 1] == 0xE1, data.starts(with: Array("Exif\0\0".utf8)) {
            return orientation(ofTIFF: data.dropFirst(6))
        }
        place = end
    }
    return 1
}

/// The same of EXIF itself, which has the form of a TIFF file: a byte order, and the place of a list of twelve bytes each.
func orientation(ofTIFF data: ArraySlice<UInt8>) -> Int {
    let isLittle = data.starts(with: [0x49, 0x49, 42, 0])
    guard isLittle || data.starts(with: [0x4D, 0x4D, 0, 42]) else { return 1 }
    /// 0 beyond the end.
    func number(_ place: Int, bytes: Int) -> Int {
        guard place <= data.count - bytes else { return 0 }
        let slice = data[data.startIndex + place..<data.startIndex + place + bytes]
        return isLittle ? slice.reversed().reduce(0) { $0 << 8 | Int($1) } : slice.reduce(0) { $0 << 8 | Int($1) }
    }
    let list = number(4, bytes: 4)
    for entry in 0..<number(list, bytes: 2) {
        let place = list + 2 + 12 * entry
        guard number(place, bytes: 2) == 0x0112 else { continue }
        let value = number(place + 8, bytes: 2)
        return (1...8).contains(value) ? value : 1
    }
    return 1
}
