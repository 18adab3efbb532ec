import CZlib
import Collectives
import Foundation

/// A file read by offset into its content, whether that is stored plainly or gzip-compressed.
///
/// zlib tells the two apart by the first bytes, not by the name. In a plain file a read costs one seek; in a
/// compressed one what lies before the offset is decompressed and thrown away, so read in rising order.
/// Bytes after the end of a gzip stream are ignored, as gzip itself does.
final class ByteFile {
    let path: String
    private let handle: gzFile

    /// Throws when there is no such file, or no regular one, or it can't be read.
    init(_ path: String) throws {
        try requireRegularFile(path)
        guard let handle = gzopen(path, "rb") else {
            throw InputError("\(path): can't be opened: \(systemReason())")
        }
        self.path = path
        self.handle = handle
        gzbuffer(handle, 1 << 18)
    }

    deinit { gzclose(handle) }

    /// Bytes of content. Reading stops once there are more than `limit`; the result is then above `limit`.
    ///
    /// A compressed file is decompressed piece by piece, so that a header that lies about its size is found out
    /// before anything is allocated for it.
    func length(atMost limit: Int) throws -> Int {
        if gzdirect(handle) == 1 { return try fileSize(path) }
        var piece = [UInt8](repeating: 0, count: 1 << 18)
        gzrewind(handle)
        var total = 0
        while total <= limit {
            let count = try piece.withUnsafeMutableBytes { try readSome($0) }
            if count == 0 { break }
            total += count
        }
        return total
    }

    /// Fills the buffer from `offset` on.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws {
        guard gzseek(handle, offset, SEEK_SET) == offset else { throw readError() }
        var done = 0
        while done < buffer.count {
            let count = try readSome(UnsafeMutableRawBufferPointer(rebasing: buffer[done...]))
            guard count > 0 else {
                throw InputError("\(path): ends at byte \(offset + done), expected \(buffer.count - done) bytes more")
            }
            done += count
        }
    }

    /// `count` bytes from `offset` on. The caller has checked `count` against the file's length.
    func read(_ count: Int, at offset: Int) throws -> [UInt8] {
        try [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            try read(into: UnsafeMutableRawBufferPointer(start: buffer.baseAddress, count: count), at: offset)
            initialized = count
        }
    }

    /// Reads what one call gives; 0 at the end of the content.
    private func readSome(_ buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        let count = gzread(handle, buffer.baseAddress, UInt32(min(buffer.count, 1 << 30)))
        if count < 0 { throw readError() }
        if count == 0 {
            var code: Int32 = Z_OK
            gzerror(handle, &code)
            if code != Z_OK { throw readError() }
        }
        return Int(count)
    }

    private func readError() -> InputError {
        var code: Int32 = Z_OK
        let text = gzerror(handle, &code).map { String(cString: $0) } ?? ""
        return switch code {
        case Z_BUF_ERROR: InputError("\(path): the gzip stream ends early, expected its closing checksum")
        case Z_ERRNO: InputError("\(path): can't be read: \(systemReason())")
        default: InputError("\(path): can't be read: \(text)")
        }
    }
}
