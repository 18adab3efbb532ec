import Collectives
import Foundation

/// The classes of a split's images, from their folders or from a file beside them.
enum FolderClasses {
    static let annotationsName = "val_annotations.txt"

    /// The class of each file name, from lines `name TAB class TAB …`, as in Tiny ImageNet; nil without such a file.
    static func annotations(_ folder: String) throws -> [String: String]? {
        let path = join(folder, annotationsName)
        guard FileManager.default.fileExists(atPath: path) else { return nil }
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
            throw InputError("\(path): can't be read as text")
        }
        var classes: [String: String] = [:]
        for (number, line) in text.split(whereSeparator: \.isNewline).enumerated() {
            let fields = line.split(separator: "\t")
            guard fields.count >= 2 else {
                throw InputError(
                    "\(path): line \(number + 1) is '\(line.prefix(60))', expected a name, a tab and a class")
            }
            classes[String(fields[0])] = String(fields[1])
        }
        return classes
    }

    /// Names of classes, sorted by their bytes; nil where images are directly in the folder, or in a single folder
    /// `images`.
    static func names(_ folder: String) throws -> [String]? {
        if let annotations = try annotations(folder) { return Set(annotations.values).sorted(by: precedes) }
        let listing = try FolderListing(folder)
        let names = try listing.foldersWithImages(in: folder)
        if names.isEmpty || listing.images.isEmpty && names == ["images"] { return nil }
        guard let stray = listing.images.first else { return names }
        throw InputError(
            "\(folder): holds images both directly (\(stray)) and in folders (\(names[0])): use only one of these, "
                + "because folders are classes")
    }

    /// The class of each file.
    /// - Parameters:
    ///   - files: all files of the folder.
    ///   - classes: those of all splits.
    static func labels(of files: [String], in folder: String, classes: [String]) throws -> [Int32] {
        let numbers = Dictionary(uniqueKeysWithValues: zip(classes.map { Array($0.utf8) }, 0..<Int32(classes.count)))
        let annotations = try annotations(folder)
        let opening = join(folder, "").utf8.count
        return try files.map { file in
            let relative = file.utf8.dropFirst(opening)
            guard let annotations else {
                guard let number = numbers[Array(relative.prefix { $0 != UInt8(ascii: "/") })] else {
                    throw InputError("\(file): was added to \(folder) while its folders were listed: try again")
                }
                return number
            }
            let name = URL(fileURLWithPath: file).lastPathComponent
            guard let number = annotations[name].flatMap({ numbers[Array($0.utf8)] }) else {
                throw InputError("\(file): has no line in \(join(folder, annotationsName))")
            }
            return number
        }
    }
}
