import Collectives
import Foundation

/// The direct contents of a folder: names of image files and of folders, each sorted by bytes. Links are followed.
struct FolderListing {
    private(set) var images: [String] = []
    private(set) var folders: [String] = []
    private(set) var leftOut = LeftOut()

    init(_ folder: String) throws {
        try Self.forEachEntry(of: Array(folder.utf8)) { name, isFolder in
            let isHidden = name.first == UInt8(ascii: ".")
            guard isFolder || Self.isImage(name) else {
                if !isHidden { leftOut.endings[Self.ending(name), default: 0] += 1 }
                return true
            }
            let path = Array(join(folder, "").utf8) + name
            if isHidden {  // an error in it is no reason to fail
                if !isFolder || (try? Self.holdsImages(path)) == true { leftOut.hidden.append(printable(path)) }
            } else if let name = String(validating: name, as: UTF8.self) {
                if isFolder { folders.append(name) } else { images.append(name) }
            } else if try !isFolder || Self.holdsImages(path) {
                leftOut.misnamed.append(printable(path))
            } else {
                leftOut.barren.append(printable(path))
            }
            return true
        }
        images.sort(by: precedes)
        folders.sort(by: precedes)
    }

    /// The names of all files and folders in a folder, sorted, in printable form.
    static func names(in folder: String) throws -> [String] {
        var names: [String] = []
        try forEachEntry(of: Array(folder.utf8)) { name, _ in
            names.append(printable(name))
            return true
        }
        return names.sorted(by: precedes)
    }

    /// Whether a folder has image files, at any depth. The search stops at the first. Links that lead back, also to
    /// `parent`, are not followed.
    static func holdsImages(_ folder: String, in parent: String? = nil) throws -> Bool {
        try searching(folder, in: parent) { parents in try holdsImages(Array(folder.utf8), parents: parents) }
    }

    /// The folders in a folder that hold images.
    func foldersWithImages(in folder: String) throws -> [String] {
        try folders.filter { try Self.holdsImages(join(folder, $0), in: folder) }
    }

    private static func holdsImages(_ folder: [UInt8], parents: [FolderIdentity] = []) throws -> Bool {
        let identity = try FolderIdentity(folder)
        if parents.contains(identity) { return false }
        var isFound = false
        var folders: [[UInt8]] = []
        try forEachEntry(of: folder) { name, isFolder in
            guard name.first != UInt8(ascii: ".") else { return true }
            if isFolder { folders.append(name) } else { isFound = isImage(name) }
            return !isFound
        }
        let slash = folder.last == UInt8(ascii: "/") ? [] : [UInt8(ascii: "/")]
        return try isFound || folders.contains { try holdsImages(folder + slash + $0, parents: parents + [identity]) }
    }

    /// Searches a folder in `parent`. An error says where the search began, because the failing folder may be deep.
    static func searching<Result>(
        _ folder: String, in parent: String? = nil, _ work: (_ parents: [FolderIdentity]) throws -> Result
    ) throws -> Result {
        do { return try work(parent.map { [try FolderIdentity(Array($0.utf8))] } ?? []) } catch let error as InputError
        {
            throw InputError("\(error); the search was for images in \(parent ?? folder) and all folders in it")
        }
    }

    /// Calls `body` with the name of each file and folder, as the system has them, until it returns false.
    private static func forEachEntry(
        of folder: [UInt8], _ body: (_ name: [UInt8], _ isFolder: Bool) throws -> Bool
    ) throws {
        guard let handle = withSystemPath(folder, { opendir($0) }) else {
            throw InputError("\(printable(folder)): can't be listed: \(systemReason())")
        }
        defer { closedir(handle) }
        while let entry = readdir(handle) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { Array($0.prefix { $0 != 0 }) }
            if name == Array(".".utf8) || name == Array("..".utf8) { continue }
            let isDirectory =
                switch Int(entry.pointee.d_type) {
                case Int(DT_DIR): true
                case Int(DT_REG): false
                default: FolderIdentity.isFolder(folder + [UInt8(ascii: "/")] + name)  // a link, or unknown
                }
            guard try body(name, isDirectory) else { return }
        }
    }

    /// The part after the last dot, in small letters; empty without one.
    private static func ending(_ name: [UInt8]) -> String {
        guard let dot = name.lastIndex(of: UInt8(ascii: ".")) else { return "" }
        return printable(name[(dot + 1)...]).lowercased()
    }

    private static func isImage(_ name: [UInt8]) -> Bool {
        guard let dot = name.lastIndex(of: UInt8(ascii: ".")) else { return false }
        let ending = name[(dot + 1)...].map { $0 | 0x20 }  // small letters
        return ImageDecoder.extensions.contains { $0.utf8.elementsEqual(ending) }
    }
}

/// The identity of a folder, the same for every path to it.
struct FolderIdentity: Equatable {
    private let device: dev_t
    private let number: ino_t

    init(_ folder: [UInt8]) throws {
        guard let information = Self.information(folder) else {
            throw InputError("\(printable(folder)): can't be opened: \(systemReason())")
        }
        device = information.st_dev
        number = information.st_ino
    }

    /// False where there is nothing of that name.
    static func isFolder(_ path: [UInt8]) -> Bool {
        information(path).map { $0.st_mode & S_IFMT == S_IFDIR } ?? false
    }

    private static func information(_ path: [UInt8]) -> stat? {
        var result = stat()
        return withSystemPath(path) { stat($0, &result) } == 0 ? result : nil
    }
}

/// A path in the system's form, which need not be UTF-8.
private func withSystemPath<Result>(_ path: [UInt8], _ body: (UnsafePointer<CChar>) -> Result) -> Result {
    (path.map { CChar(bitPattern: $0) } + [0]).withUnsafeBufferPointer { body($0.baseAddress!) }
}

/// A name or path for a message: bytes that aren't UTF-8 as `\xe9`.
func printable(_ name: some Collection<UInt8>) -> String {
    if let text = String(validating: name, as: UTF8.self) { return oneLine(text) }
    var result = ""
    var rest = Array(name)[...]
    while !rest.isEmpty {
        let length = (1...4).first { String(validating: rest.prefix($0), as: UTF8.self) != nil }
        let part = rest.prefix(length ?? 1)
        result += length == nil ? "\\x" + hexadecimal(part) : String(decoding: part, as: UTF8.self)
        rest = rest.dropFirst(part.count)
    }
    return oneLine(result)
}

/// Order by bytes, independent of the locale.
func precedes(_ a: String, _ b: String) -> Bool { a.utf8.lexicographicallyPrecedes(b.utf8) }

/// False where there is nothing of that name.
package func isFolder(_ path: String) -> Bool { FolderIdentity.isFolder(Array(path.utf8)) }

func join(_ folder: String, _ name: String) -> String { folder.hasSuffix("/") ? folder + name : folder + "/" + name }
