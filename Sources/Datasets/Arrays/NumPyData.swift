import Collectives
import Foundation

/// An array of one axis in memory, `[N]` with N from 0 on, that can be written as `.npy`.
package enum NumPyData: Sendable {
    /// `<i4`.
    case int32([Int32])
    /// `<i8`.
    case int64([Int])
    /// `<Uk`: Unicode scalars of 32 bits. Each string is padded with zeros to the length k of the longest, at least 1.
    /// NumPy strips zeros from the end of a string, so a final U+0000 is lost.
    case text([String])

    /// A whole `.npy` file, in memory that the caller frees by `free`.
    /// - Throws: `InputError`, which begins with `path`, where there isn't enough memory.
    func encode(for path: String) throws -> UnsafeMutableRawBufferPointer {
        switch self {
        case .int32(let values): return try Self.encode(values, as: .int32, for: path)
        case .int64(let values): return try Self.encode(values, as: .int64, for: path)
        case .text(let values):
            let width = values.reduce(1) { max($0, $1.unicodeScalars.count) }
            let (file, data) = try Self.allocate("<U\(width)", count: values.count, size: 4 * width, for: path)
            for (row, value) in values.enumerated() {
                for (column, scalar) in value.unicodeScalars.enumerated() {
                    data.storeBytes(of: scalar.value, toByteOffset: 4 * (row * width + column), as: UInt32.self)
                }
            }
            return file
        }
    }

    private static func encode<Value: BitwiseCopyable>(
        _ values: [Value], as element: NumPyElement, for path: String
    ) throws -> UnsafeMutableRawBufferPointer {
        let (file, data) = try allocate(element.rawValue, count: values.count, size: element.size, for: path)
        values.withUnsafeBytes { data.copyMemory(from: $0) }
        return file
    }

    /// A file with its header and zeros, and the part of it that holds the data.
    private static func allocate(
        _ descriptor: String, count: Int, size: Int, for path: String
    ) throws -> (file: UnsafeMutableRawBufferPointer, data: UnsafeMutableRawBufferPointer) {
        let opening = NumPyHeader.opening(descriptor: descriptor, shape: [count])
        let bytes = opening.count + count * size
        guard let start = calloc(bytes, 1) else {
            throw InputError(
                "\(path): no memory for \(count) values of '\(descriptor)', \(bytes) bytes: \(systemReason())")
        }
        let file = UnsafeMutableRawBufferPointer(start: start, count: bytes)
        file.copyBytes(from: opening)
        return (file, UnsafeMutableRawBufferPointer(rebasing: file[opening.count...]))
    }
}
