import Collectives
import Foundation

/// A file operation that failed, with the system's reason.
package struct FileError: Error, CustomStringConvertible {
    let action: String
    let path: String
    let code: Int32

    package init(action: String, path: String, code: Int32) {
        self.action = action
        self.path = path
        self.code = code
    }

    package var description: String { "can't \(action) \(path): \(String(cString: strerror(code)))" }
}

/// Makes a folder and its parents, where they don't exist yet.
/// - Throws: `InputError` where a file has that name or the system refuses.
package func makeFolder(_ path: String) throws {
    guard (try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)) == nil else {
        return
    }
    // Foundation doesn't always say why.
    guard mkdir(path, 0o777) != 0 else { return }
    throw InputError("folder \(path) can't be made: \(String(cString: strerror(errno)))")
}

/// Gives a finished file its name; it replaces a file of that name.
package func moveFile(_ from: String, to: String) throws { try DurableFile.rename(from, to: to) }

/// Writes that survive a crash of the machine as soon as they have returned.
enum DurableFile {
    /// Makes a file of a given size with these bytes at its start, for others to fill. It is on the disk after the
    /// process that made it has updated it.
    static func create(_ path: String, opening: Data, bytes: Int) throws {
        let descriptor = try opened(path, O_WRONLY | O_CREAT | O_TRUNC, action: "create")
        defer { close(descriptor) }
        guard ftruncate(descriptor, bytes) == 0 else { throw FileError(action: "write", path: path, code: errno) }
        try opening.withUnsafeBytes { try write($0, to: descriptor, at: 0, path: path) }
    }

    /// Writes slices at their offsets (in bytes from the start) in an existing file, and forces them to the disk.
    static func update(_ path: String, _ slices: [(offset: Int, bytes: UnsafeRawBufferPointer)]) throws {
        let descriptor = try opened(path, O_WRONLY, action: "open")
        defer { close(descriptor) }
        for slice in slices { try write(slice.bytes, to: descriptor, at: slice.offset, path: path) }
        guard fsync(descriptor) == 0 else { throw FileError(action: "write", path: path, code: errno) }
    }

    private static func opened(_ path: String, _ flags: Int32, action: String) throws -> Int32 {
        let descriptor = open(path, flags | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw FileError(action: action, path: path, code: errno) }
        return descriptor
    }

    private static func write(
        _ bytes: UnsafeRawBufferPointer, to descriptor: Int32, at offset: Int, path: String
    ) throws {
        var done = 0
        while done < bytes.count {
            let count = min(bytes.count - done, 1 << 30)
            let written = pwrite(descriptor, bytes.baseAddress! + done, count, off_t(offset + done))
            if written < 0 && errno == EINTR { continue }
            guard written > 0 else { throw FileError(action: "write", path: path, code: errno) }
            done += written
        }
    }

    /// Writes a file and forces it to the disk.
    static func write(_ data: Data, to path: String) throws {
        let descriptor = try opened(path, O_WRONLY | O_CREAT | O_TRUNC, action: "create")
        defer { close(descriptor) }
        try data.withUnsafeBytes { try write($0, to: descriptor, at: 0, path: path) }
        guard fsync(descriptor) == 0 else { throw FileError(action: "write", path: path, code: errno) }
    }

    /// Writes a file that may exist already. A kill at any time leaves either the old one or the new one, complete.
    static func replace(_ path: String, by data: Data) throws {
        let temporary = path + ".writing"
        try write(data, to: temporary)
        try rename(temporary, to: path)
    }

    /// Forces a folder's list of names to the disk.
    static func synchronise(folder path: String) throws {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw FileError(action: "open", path: path, code: errno) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw FileError(action: "write", path: path, code: errno) }
    }

    static func rename(_ from: String, to: String) throws {
        guard Foundation.rename(from, to) == 0 else { throw FileError(action: "rename to", path: to, code: errno) }
    }
}
