import Collectives

/// An array in a `.npy` file, of at least one axis, in C order.
///
/// Only the header is kept in memory. A rank reads or writes its own rows (slices of the first axis). The format is
/// described in NumPy's `lib/format.py`. Every error is an `InputError` that begins with the path.
package struct NumPyArray: Sendable {
    package let path: String
    /// Sizes of the axes, each at least 1.
    package let shape: [Int]
    package let element: NumPyElement
    /// Whether an element's highest byte comes first; this processor has it last.
    let isBigEndian: Bool
    /// Bytes before the first element.
    package let dataOffset: Int

    /// Slices of the first axis.
    package var rows: Int { shape[0] }
    /// Elements in a slice of the first axis.
    package var rowSize: Int { shape.dropFirst().reduce(1, *) }

    static let magic: [UInt8] = [0x93] + Array("NUMPY".utf8)
    /// Most bytes of a header. NumPy's own take a few hundred.
    private static let longestHeader = 1 << 20
    /// Most axes, as in NumPy 2.
    static let mostAxes = 64

    /// Reads the header, of format 1.0, 2.0 or 3.0, and compares the shape with the size of the file.
    /// - Parameter elements: accepted types; others are refused.
    package init(path: String, accepting elements: [NumPyElement] = NumPyElement.floats) throws {
        let size = try fileSize(path)
        let file = try SystemFile(path, .read)
        guard size >= 12 else { throw InputError("\(path): has \(size) bytes, expected at least 12 (a .npy file)") }
        var opening = [UInt8](repeating: 0, count: 12)
        try opening.withUnsafeMutableBytes { try file.read(into: $0, at: 0) }
        guard opening.starts(with: Self.magic) else {
            let found = hexadecimal(opening.prefix(6))
            throw InputError("\(path): starts with \(found), expected 93 4e 55 4d 50 59 (a .npy file)")
        }
        guard (1...3).contains(opening[6]), opening[7] == 0 else {
            throw InputError("\(path): has .npy format \(opening[6]).\(opening[7]), expected 1.0, 2.0 or 3.0")
        }
        let prefix = opening[6] == 1 ? 10 : 12
        let length = opening[8..<prefix].reversed().reduce(0) { $0 << 8 | Int($1) }
        guard length <= Self.longestHeader, prefix + length <= size else {
            throw InputError(
                "\(path): has \(size) bytes, expected a header of \(length) (at most \(Self.longestHeader)) and the "
                    + "data")
        }
        var text = [UInt8](repeating: 0, count: length)
        try text.withUnsafeMutableBytes { try file.read(into: $0, at: prefix) }
        let header = try NumPyHeader(text: String(decoding: text, as: UTF8.self), path: path, elements)
        try self.init(path: path, header: header, dataOffset: prefix + length)
        let expected = dataOffset + rows * rowSize * element.size
        guard size == expected else {
            throw InputError(
                "\(path): has \(size) bytes, expected \(expected) for shape \(shape) of '\(element.rawValue)'")
        }
    }

    /// Throws unless the shape's size in bytes fits an `Int`.
    /// - Parameter dataOffset: offset of the data in the file; that of files that we write by default.
    private init(path: String, header: NumPyHeader, dataOffset: Int? = nil) throws {
        let shape = header.shape
        guard !shape.isEmpty else { throw InputError("\(path): holds a single number, expected at least one axis") }
        guard shape.count <= Self.mostAxes else {
            throw InputError("\(path): has \(shape.count) axes, expected at most \(Self.mostAxes)")
        }
        guard !shape.contains(0) else { throw InputError("\(path): has shape \(shape), which holds no values") }
        var bytes = header.element.size
        for axis in shape {
            let (product, overflow) = bytes.multipliedReportingOverflow(by: axis)
            guard !overflow, product < 1 << 62 else {
                throw InputError("\(path): has shape \(shape), which takes more than 2^62 bytes")
            }
            bytes = product
        }
        self.path = path
        self.shape = shape
        element = header.element
        isBigEndian = header.isBigEndian
        self.dataOffset = dataOffset ?? header.opening.count
    }

    func offset(ofRow row: Int) -> Int { dataOffset + row * rowSize * element.size }
}

// MARK: - Writing

extension NumPyArray {
    /// Makes a file of zeros, format 1.0, that ranks then fill by `write(rows:)`.
    ///
    /// One rank creates; the others open it with `init(path:)` after a barrier. Axes are at least 1.
    package static func create(
        path: String, shape: [Int], element: NumPyElement = .float32
    ) throws -> NumPyArray {
        let header = NumPyHeader(element: element, shape: shape)
        let array = try NumPyArray(path: path, header: header)
        let file = try SystemFile(path, .create)
        try file.setSize(array.offset(ofRow: array.rows))
        try header.opening.withUnsafeBytes { try file.write($0, at: 0) }
        return array
    }

    /// Writes consecutive rows, from row `first` on. Ranks may write at the same time, each its own rows.
    ///
    /// `values` holds whole rows, all inside the array, and the array is float32.
    package func write(rows first: Int, values: UnsafeBufferPointer<Float>) throws {
        precondition(element == .float32, "rows of '\(element.rawValue)' written as float32")
        try SystemFile(path, .update).write(checked(UnsafeRawBufferPointer(values), first), at: offset(ofRow: first))
    }

    /// Writes consecutive rows, from row `first` on, and returns when they are on the disk.
    /// - Parameter bytes: whole rows of elements in this processor's byte order.
    func store(rows first: Int, bytes: UnsafeRawBufferPointer) throws {
        let file = try SystemFile(path, .update)
        try file.write(checked(bytes, first), at: offset(ofRow: first))
        try file.synchronise()
    }

    private func checked(_ bytes: UnsafeRawBufferPointer, _ first: Int) -> UnsafeRawBufferPointer {
        let width = rowSize * element.size
        precondition(!isBigEndian && bytes.count % width == 0, "\(bytes.count) bytes in rows of \(width)")
        precondition(first >= 0 && first + bytes.count / width <= rows, "rows from \(first) of \(rows)")
        return bytes
    }

    /// Writes a whole float32 array; `values` in C order.
    package static func write(path: String, shape: [Int], values: [Float]) throws {
        let array = try create(path: path, shape: shape)
        precondition(values.count == array.rows * array.rowSize, "\(values.count) values for shape \(shape)")
        try values.withUnsafeBufferPointer { try array.write(rows: 0, values: $0) }
    }
}
