import Collectives
import Foundation

/// What lies directly in a folder: names of image files and of folders, each sorted by their bytes. Hidden ones and
/// what isn't named like an image are left out; links are followed.
struct FolderListing {
    private(set) var images: [String] = []
    private(set) var folders: [String] = []

    init(_ folder: String) throws {
        try Self.forEachEntry(of: folder) { name, isFolder in
            if isFolder { folders.append(name) } else { images.append(name) }
            return true
        }
        images.sort(by: precedes)
        folders.sort(by: precedes)
    }

    /// Calls `body` with the name of each image file and folder, as the system has them, until it returns false.
    private static func forEachEntry(of folder: String, _ body: (String, _ isFolder: Bool) throws -> Bool) throws {
        guard let handle = opendir(folder) else { throw InputError("\(folder): can't be listed: \(systemReason())") }
        defer { closedir(handle) }
        while let entry = readdir(handle) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(validating: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            guard let name else { throw InputError("\(folder): holds a name that is not UTF-8; rename it") }
            if name.hasPrefix(".") { continue }
            let isDirectory =
                switch Int(entry.pointee.d_type) {
                case Int(DT_DIR): true
                case Int(DT_REG): false
                default: isFolder(join(folder, name))  // a link, or a file system that doesn't say
                }
            guard isDirectory || isImage(name) else { continue }
            guard try body(name, isDirectory) else { return }
        }
    }

    private static func isImage(_ name: String) -> Bool {
        guard let dot = name.utf8.lastIndex(of: UInt8(ascii: ".")) else { return false }
        return ImageDecoder.extensions.contains(name[name.index(after: dot)...].lowercased())
    }

    /// Paths of all images in a folder and those below it: a folder's own first, then each folder's in turn. Links
    /// that lead back, to `parent` too, are not followed.
    static func images(below folder: String, in parent: String? = nil) throws -> [String] {
        var paths: [String] = []
        try search(folder, in: parent) { place in
            let listing = try FolderListing(place)
            paths += listing.images.map { join(place, $0) }
            return listing.folders
        }
        return paths
    }

    /// Whether `images(below:in:)` finds any. Looks no further than the first.
    static func holdsImages(_ folder: String, in parent: String? = nil) throws -> Bool {
        var isFound = false
        try search(folder, in: parent) { place in
            var folders: [String] = []
            try forEachEntry(of: place) { name, isFolder in
                if isFolder { folders.append(name) } else { isFound = true }
                return !isFound
            }
            return isFound ? [] : folders
        }
        return isFound
    }

    /// Goes through a folder, which lies in `parent`. An error tells where the search began: what fails may lie deep.
    private static func search(_ folder: String, in parent: String?, _ body: (String) throws -> [String]) throws {
        do { try visit(folder, parents: parent.map { [try identity($0)] } ?? [], body) } catch let error as InputError {
            throw InputError("\(error); was looking for images in \(parent ?? folder) and all folders below it")
        }
    }

    /// Goes through a folder and then those in it that `body` names.
    private static func visit(_ folder: String, parents: [Identity], _ body: (String) throws -> [String]) throws {
        let identity = try identity(folder)
        if parents.contains(identity) { return }
        for name in try body(folder) { try visit(join(folder, name), parents: parents + [identity], body) }
    }

    /// Which folder it is, by whatever path.
    private struct Identity: Equatable {
        let device: dev_t
        let number: ino_t
    }

    private static func identity(_ folder: String) throws -> Identity {
        var information = stat()
        guard stat(folder, &information) == 0 else {
            throw InputError("\(folder): can't be opened: \(systemReason())")
        }
        return Identity(device: information.st_dev, number: information.st_ino)
    }
}

/// By bytes, as no locale has a say in.
private func precedes(_ a: String, _ b: String) -> Bool { a.utf8.lexicographicallyPrecedes(b.utf8) }

/// False where nothing bears that name.
package func isFolder(_ path: String) -> Bool {
    var isFolder: ObjCBool = false
    return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && isFolder.boolValue
}

func join(_ folder: String, _ name: String) -> String { folder.hasSuffix("/") ? folder + name : folder + "/" + name }
