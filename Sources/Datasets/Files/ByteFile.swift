import CZlib
import Collectives
import Foundation

/// A file whose content is read by offset. It may be plain or compressed by gzip.
///
/// zlib recognises the two by the first bytes, not by the name. In a plain file a read costs one seek. In a compressed
/// one all bytes before the offset are decompressed, so read in rising order. Bytes after the end of a gzip stream are
/// ignored, as by gzip itself.
final class ByteFile {
    let path: String
    private let handle: gzFile

    /// Throws when the file doesn't exist, isn't a regular file or can't be read.
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

    /// Whether the content is the file itself, not compressed.
    var isPlain: Bool { gzdirect(handle) == 1 }

    /// Number of bytes of the content. Counting stops above `limit`.
    ///
    /// A compressed file is decompressed block by block, so that a wrong size in a header is found before memory is
    /// allocated for it.
    func length(atMost limit: Int) throws -> Int {
        if isPlain { return try fileSize(path) }
        var block = [UInt8](repeating: 0, count: 1 << 18)
        gzrewind(handle)
        var total = 0
        while total <= limit {
            let count = try block.withUnsafeMutableBytes { try readSome($0) }
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
                throw InputError("\(path): ends at byte \(offset + done), expected \(buffer.count - done) more bytes")
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

    /// Reads as many bytes as one call returns; 0 at the end of the content.
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
