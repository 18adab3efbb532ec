import Collectives
import Foundation

/// What the folders of a split's images, or a file beside them, tell of classes.
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
                throw InputError("\(path): line \(number + 1) is '\(line.prefix(60))', expected a name, a tab, a class")
            }
            classes[String(fields[0])] = String(fields[1])
        }
        return classes
    }

    /// Sorted by their bytes; nil where images lie directly in the folder, or in a lone `images`.
    static func names(_ folder: String) throws -> [String]? {
        if let annotations = try annotations(folder) { return Set(annotations.values).sorted(by: precedes) }
        let listing = try FolderListing(folder)
        let names = try listing.foldersWithImages(in: folder)
        if names.isEmpty || listing.images.isEmpty && names == ["images"] { return nil }
        guard let stray = listing.images.first else { return names }
        throw InputError(
            "\(folder): holds images both itself (\(stray)) and in folders (\(names[0])), expected either: "
                + "folders are taken for classes")
    }

    /// The class of each file.
    /// - Parameters:
    ///   - files: all of a folder's.
    ///   - classes: of all splits.
    static func labels(of files: [String], in folder: String, classes: [String]) throws -> [Int32] {
        let numbers = Dictionary(uniqueKeysWithValues: zip(classes.map { Array($0.utf8) }, 0..<Int32(classes.count)))
        let annotations = try annotations(folder)
        let opening = join(folder, "").utf8.count
        return try files.map { file in
            let place = file.utf8.dropFirst(opening)
            guard let annotations else {
                guard let number = numbers[Array(place.prefix { $0 != UInt8(ascii: "/") })] else {
                    throw InputError("\(file): came to \(folder) after its folders were listed; try again")
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
