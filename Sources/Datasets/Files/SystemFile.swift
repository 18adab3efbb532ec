import Collectives
import Foundation

/// The reason of this thread's last failed system call.
func systemReason() -> String { String(cString: strerror(errno)) }

/// Throws an `InputError` unless the path names a regular file.
package func requireRegularFile(_ path: String) throws { _ = try fileSize(path) }

/// Bytes of a regular file, as stored. Throws for anything else.
package func fileSize(_ path: String) throws -> Int {
    var information = stat()
    guard stat(path, &information) == 0 else { throw InputError("\(path): can't be opened: \(systemReason())") }
    guard information.st_mode & S_IFMT == S_IFREG else {
        throw InputError("\(path): is not a regular file")
    }
    return Int(information.st_size)
}

/// An open file that several ranks may read or write at once, each at its own offsets.
final class SystemFile {
    enum Mode {
        case read
        /// The file exists, and its size doesn't change.
        case update
        /// The file is created, or emptied.
        case create
    }

    let path: String
    let descriptor: Int32

    init(_ path: String, _ mode: Mode) throws {
        let flags =
            switch mode {
            case .read: O_RDONLY
            case .update: O_WRONLY
            case .create: O_WRONLY | O_CREAT | O_TRUNC
            }
        if mode != .create { try requireRegularFile(path) }
        descriptor = open(path, flags | O_CLOEXEC, 0o666)
        self.path = path
        guard descriptor >= 0 else { throw InputError("\(path): can't be opened: \(systemReason())") }
    }

    deinit { close(descriptor) }

    /// Bytes of the file now. C: `fstat`.
    func size() throws -> Int {
        var information = stat()
        guard fstat(descriptor, &information) == 0 else {
            throw InputError("\(path): can't be read: \(systemReason())")
        }
        return Int(information.st_size)
    }

    /// Fills the buffer from `offset` on. C: `pread`.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws {
        var done = 0
        while done < buffer.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[done...])
            let count = pread(descriptor, rest.baseAddress, rest.count, offset + done)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw InputError("\(path): can't be read: \(systemReason())") }
            guard count > 0 else {
                throw InputError("\(path): ends at byte \(offset + done), expected \(rest.count) more bytes")
            }
            done += count
        }
    }

    /// Writes the whole buffer at `offset`. C: `pwrite`.
    func write(_ buffer: UnsafeRawBufferPointer, at offset: Int) throws {
        var done = 0
        while done < buffer.count {
            let rest = UnsafeRawBufferPointer(rebasing: buffer[done...])
            let count = pwrite(descriptor, rest.baseAddress, rest.count, offset + done)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw InputError("\(path): can't be written: \(systemReason())") }
            done += count
        }
    }

    /// Forces written bytes to the disk. C: `fsync`.
    func synchronise() throws {
        guard fsync(descriptor) == 0 else { throw InputError("\(path): can't be written: \(systemReason())") }
    }

    /// C: `ftruncate`.
    func setSize(_ size: Int) throws {
        guard ftruncate(descriptor, size) == 0 else {
            throw InputError("\(path): can't be made \(size) bytes long: \(systemReason())")
        }
    }
}

/// Writes a file and forces it to the disk. It gets its name when it is complete, and replaces a file of that name.
func replaceFile(_ path: String, by bytes: [UInt8], temporary: String) throws {
    let file = try SystemFile(temporary, .create)
    try bytes.withUnsafeBytes { try file.write($0, at: 0) }
    try file.synchronise()
    try renameFile(temporary, to: path)
}

/// Gives a finished file its name; it replaces a file of that name. C: `rename`.
func renameFile(_ from: String, to path: String) throws {
    guard rename(from, path) == 0 else { throw InputError("\(path): can't be renamed from \(from): \(systemReason())") }
}

/// Throws an `InputError` where a folder's disk has less room than this for us. C: `statvfs`.
func requireRoom(for bytes: Int, in folder: String) throws {
    var information = statvfs()
    guard statvfs(folder, &information) == 0 else {
        throw InputError("\(folder): can't be opened: \(systemReason())")
    }
    let free = Int(clamping: information.f_bavail).multipliedReportingOverflow(by: Int(clamping: information.f_frsize))
    guard free.overflow || bytes <= free.partialValue else {
        throw InputError("\(folder): needs \(bytes) bytes on its disk, which has \(free.partialValue) free: make room")
    }
}

/// Forces a folder's list of names to the disk. C: `fsync`.
func synchronise(folder path: String) throws {
    let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw InputError("\(path): can't be opened: \(systemReason())") }
    defer { close(descriptor) }
    guard fsync(descriptor) == 0 else { throw InputError("\(path): can't be written: \(systemReason())") }
}
