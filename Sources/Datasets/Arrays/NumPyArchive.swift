import CZip
import Collectives
import Foundation

/// A `.npz` file: arrays by name, each a `.npy` file in a zip archive, as `numpy.load` reads it.
package enum NumPyArchive {
    package enum Content: Sendable {
        /// Path of a `.npy` file, which is copied and kept.
        case file(String)
        case array(NumPyData)
    }

    /// Writes an archive, which replaces a file of that name. A kill at any time leaves either the old file or the new
    /// one, complete. When the function returns, the new one is on the disk.
    ///
    /// The same arrays give the same bytes. Nothing is compressed: compressing features is slow and saves little. The
    /// folder needs room for the whole archive in addition to the files that are there.
    /// - Parameter entries: at least one. Names differ; `numpy.load` returns the arrays by these names.
    /// - Throws: `InputError` where a file is not a `.npy`, or the archive can't be written.
    package static func write(path: String, _ entries: [(name: String, content: Content)]) throws {
        let temporary = path + ".packing"
        do {
            try pack(entries, into: temporary)
            try SystemFile(temporary, .update).synchronise()
            try renameFile(temporary, to: path)
        } catch {
            unlink(temporary)
            throw error
        }
    }

    private static func pack(_ entries: [(name: String, content: Content)], into path: String) throws {
        precondition(!entries.isEmpty, "libzip makes no file of an archive without entries")
        var code: Int32 = 0
        guard let archive = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, &code) else {
            var error = zip_error_t()
            zip_error_init_with_code(&error, code)
            defer { zip_error_fini(&error) }
            throw InputError("\(path): can't be written: \(String(cString: zip_error_strerror(&error)))")
        }
        do {
            for (name, content) in entries { try add(content, as: name + ".npy", to: archive, path) }
            // Files are read and written only now.
            guard zip_close(archive) == 0 else { throw failure(archive, path) }
        } catch {
            zip_discard(archive)
            throw error
        }
    }

    private static func add(_ content: Content, as name: String, to archive: OpaquePointer, _ path: String) throws {
        let source: OpaquePointer?
        switch content {
        case .file(let file):
            _ = try NumPyArray(path: file, accepting: NumPyElement.allCases)  // checks that it is a complete .npy file
            source = zip_source_file(archive, file, 0, 0)
        case .array(let data):
            let file = try data.encode(for: path)
            source = zip_source_buffer(archive, file.baseAddress, UInt64(file.count), 1)  // 1: it frees the memory
            if source == nil { free(file.baseAddress) }
        }
        guard let source else { throw failure(archive, path) }
        let index = zip_file_add(archive, name, source, ZIP_FL_ENC_UTF_8)
        guard index >= 0 else {
            zip_source_free(source)
            throw failure(archive, path)
        }
        // The date is the first that zip knows, as in NumPy, and all may read the file: the bytes depend neither on the
        // clock nor on the user.
        let entry = UInt64(index)
        guard zip_set_file_compression(archive, entry, ZIP_CM_STORE, 0) == 0,
            zip_file_set_dostime(archive, entry, 0, 1 << 5 | 1, 0) == 0,
            zip_file_set_external_attributes(archive, entry, 0, UInt8(ZIP_OPSYS_UNIX), (S_IFREG | 0o644) << 16) == 0
        else { throw failure(archive, path) }
    }

    private static func failure(_ archive: OpaquePointer, _ path: String) -> InputError {
        InputError("\(path): can't be written: \(String(cString: zip_strerror(archive)))")
    }
}
