/// The EXIF orientation of a JPEG, 1 to 8: how to rotate or mirror it. It is 1 for an upright image, and where there is
/// none.
func orientation(ofJPEG file: [UInt8]) -> Int {
    var offset = 2
    while offset + 4 <= file.count, file[offset] == 0xFF, file[offset + 1] != 0xDA {  // the pixels
        let end = offset + 2 + (Int(file[offset + 2]) << 8 | Int(file[offset + 3]))
        guard end >= offset + 4, end <= file.count else { break }
        let data = file[offset + 4..<end]
        if file[offset + 1] == 0xE1, data.starts(with: Array("Exif\0\0".utf8)) {
            return orientation(ofTIFF: data.dropFirst(6))
        }
        offset = end
    }
    return 1
}

/// The orientation in an EXIF block, which has the form of a TIFF file: a byte order, and the offset of a list of
/// entries of twelve bytes.
func orientation(ofTIFF data: ArraySlice<UInt8>) -> Int {
    let isLittle = data.starts(with: [0x49, 0x49, 42, 0])
    guard isLittle || data.starts(with: [0x4D, 0x4D, 0, 42]) else { return 1 }
    /// A number of the block; 0 beyond the end.
    func number(_ offset: Int, bytes: Int) -> Int {
        guard offset <= data.count - bytes else { return 0 }
        let slice = data[data.startIndex + offset..<data.startIndex + offset + bytes]
        return isLittle ? slice.reversed().reduce(0) { $0 << 8 | Int($1) } : slice.reduce(0) { $0 << 8 | Int($1) }
    }
    let list = number(4, bytes: 4)
    for entry in 0..<number(list, bytes: 2) {
        let offset = list + 2 + 12 * entry
        guard number(offset, bytes: 2) == 0x0112 else { continue }
        let value = number(offset + 8, bytes: 2)
        return (1...8).contains(value) ? value : 1
    }
    return 1
}
