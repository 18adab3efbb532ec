import Collectives
import Foundation

/// A file operation that failed, with the system's reason.
package struct FileError: Error, CustomStringConvertible {
    let action: String
    let path: String
    let code: Int32

    package var description: String { "can't \(action) \(path): \(String(cString: strerror(code)))" }
}

/// Makes a folder and those that it lies in, where they are not there yet.
/// - Throws: `InputError` where a file stands in the way or the system refuses.
package func makeFolder(_ path: String) throws {
    do {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    } catch {
        throw InputError("folder \(path) can't be made: \(error.localizedDescription)")
    }
}

/// Gives a finished file its name, in the place of what bears it.
package func moveFile(_ from: String, to: String) throws { try DurableFile.rename(from, to: to) }

/// Writes that survive a crash of the machine once they have returned.
enum DurableFile {
    /// Writes the pieces one after another and forces them to the disk.
    static func write(_ pieces: [UnsafeRawBufferPointer], to path: String) throws {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw FileError(action: "create", path: path, code: errno) }
        defer { close(descriptor) }
        for piece in pieces {
            var done = 0
            while done < piece.count {
                let written = Foundation.write(descriptor, piece.baseAddress! + done, min(piece.count - done, 1 << 30))
                if written < 0 && errno == EINTR { continue }
                guard written > 0 else { throw FileError(action: "write", path: path, code: errno) }
                done += written
            }
        }
        guard fsync(descriptor) == 0 else { throw FileError(action: "write", path: path, code: errno) }
    }

    static func write(_ data: Foundation.Data, to path: String) throws {
        try data.withUnsafeBytes { try write([$0], to: path) }
    }

    /// Writes a file that may be there already: a kill at any time leaves the old one or the new one, whole.
    static func replace(_ path: String, by data: Foundation.Data) throws {
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
