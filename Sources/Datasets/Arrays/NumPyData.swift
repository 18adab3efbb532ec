import Collectives
import Foundation

/// An array of one axis in memory, `[N]` with N from 0 on, and what `.npy` makes of it.
package enum NumPyData: Sendable {
    /// `<i4`.
    case int32([Int32])
    /// `<i8`.
    case int64([Int])
    /// `<Uk`: Unicode scalars of 32 bits, each string padded with zeros to the longest's k, at least 1. NumPy strips
    /// zeros from the end of a string, so one that ends in U+0000 loses it.
    case text([String])

    /// A whole `.npy` file, in memory that the caller gives back by `free`.
    /// - Throws: `InputError`, of which `path` is the opening, where there is no such memory.
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

    /// A file of zeros behind its opening, and the part of it that holds the data.
    private static func allocate(
        _ descriptor: String, count: Int, size: Int, for path: String
    ) throws -> (file: UnsafeMutableRawBufferPointer, data: UnsafeMutableRawBufferPointer) {
        let opening = NumPyHeader.opening(descriptor: descriptor, shape: [count])
        let bytes = opening.count + count * size
        guard let start = calloc(bytes, 1) else {
            throw InputError(
                "\(path): \(count) values of '\(descriptor)' take \(bytes) bytes of memory: \(systemReason())")
        }
        let file = UnsafeMutableRawBufferPointer(start: start, count: bytes)
        file.copyBytes(from: opening)
        return (file, UnsafeMutableRawBufferPointer(rebasing: file[opening.count...]))
    }
}
