import Collectives
import Foundation

/// The JPEG and PNG files of a folder, of one split where it has several, with the classes that their folders tell.
///
/// Layouts: `*.png` without classes; `CLASS/**/*.png`; either inside `train`, `test` (or `val`, `validation`) and
/// `unlabelled` (or `unlabeled`). A folder with `val_annotations.txt`, as in Tiny ImageNet, takes classes from there.
/// A lone folder named `images` is no class.
struct ImageFolder {
    let path: String
    /// In order: class by class, then by name.
    let files: [String]
    /// `[files.count]`; nil without classes.
    let labels: [Int32]?
    /// Names of classes, sorted: those of all splits.
    let classes: [String]
    let hasSplits: Bool

    private static let splitNames: [(split: Split, names: [String])] = [
        (.train, ["train"]), (.test, ["test", "val", "validation"]), (.unlabelled, ["unlabelled", "unlabeled"]),
    ]

    private init(path: String, files: [String], labels: [Int32]?, classes: [String], hasSplits: Bool) {
        self.path = path
        self.files = files
        self.labels = labels
        self.classes = classes
        self.hasSplits = hasSplits
    }

    /// nil where there are no images at all.
    init?(_ path: String, _ split: Split) throws {
        guard try FolderListing.holdsImages(path) else { return nil }
        guard let parts = try Self.splits(of: path) else {
            guard split != .unlabelled else {
                throw InputError("\(path): has no folder unlabelled, so no such split: --set data.split=train")
            }
            try self.init(path, part: path, classNames: Self.classNames(path), hasSplits: false)
            return
        }
        guard let part = try parts[split].map({ try Self.choice(of: $0) }) else {
            let names = Self.splitNames.first { $0.split == split }?.names.joined(separator: " or ") ?? ""
            let found = parts.values.joined().map { URL(fileURLWithPath: $0).lastPathComponent }.sorted()
            throw InputError(
                "\(path): no folder \(names) for the \(split.rawValue) split; found \(found.joined(separator: ", "))")
        }
        guard split != .unlabelled, try Self.classNames(part) != nil else {
            try self.init(path, part: part, classNames: nil, hasSplits: true)
            return
        }
        var classes: Set<[UInt8]> = []
        for other in [Split.train, .test].compactMap({ parts[$0] }) {
            for name in try Self.classNames(Self.choice(of: other)) ?? [] { classes.insert(Array(name.utf8)) }
        }
        let sorted = classes.sorted { $0.lexicographicallyPrecedes($1) }.map { String(decoding: $0, as: UTF8.self) }
        try self.init(path, part: part, classNames: sorted, hasSplits: true)
    }

    private init(_ path: String, part: String, classNames: [String]?, hasSplits: Bool) throws {
        guard let classNames else {
            let files = try FolderListing.images(below: part)
            self.init(path: path, files: files, labels: nil, classes: [], hasSplits: hasSplits)
            return
        }
        let numbers = Dictionary(
            uniqueKeysWithValues: zip(classNames.map { Array($0.utf8) }, 0..<Int32(classNames.count)))
        var (files, labels): ([String], [Int32]) = ([], [])
        if let annotations = try Self.annotations(part) {
            files = try FolderListing.images(below: part)
            labels = try files.map { file in
                let name = URL(fileURLWithPath: file).lastPathComponent
                guard let number = annotations[name].flatMap({ numbers[Array($0.utf8)] }) else {
                    throw InputError("\(file): has no line in \(join(part, Self.annotationsName))")
                }
                return number
            }
        } else {
            for folder in try FolderListing(part).folders {
                guard let number = numbers[Array(folder.utf8)] else { continue }
                let own = try FolderListing.images(below: join(part, folder), in: part)
                files += own
                labels += Array(repeating: number, count: own.count)
            }
        }
        self.init(path: path, files: files, labels: labels, classes: classNames, hasSplits: hasSplits)
    }

    // MARK: - Splits

    /// The folders of each split; nil where the folder isn't cut into splits.
    private static func splits(of folder: String) throws -> [Split: [String]]? {
        let listing = try FolderListing(folder)
        guard listing.images.isEmpty else { return nil }
        var parts: [Split: [String]] = [:]
        for (split, names) in splitNames {
            let found = try names.map { join(folder, $0) }.filter {
                try isFolder($0) && FolderListing.holdsImages($0, in: folder)
            }
            if !found.isEmpty { parts[split] = found }
        }
        if parts.count != 1 { return parts.isEmpty ? nil : parts }
        // A single such name may be that of a class.
        let holding = try listing.folders.filter { try FolderListing.holdsImages(join(folder, $0), in: folder) }
        let part = parts.values.joined().first ?? folder
        return try holding.count == 1 || classNames(part) != nil ? parts : nil
    }

    /// ImageNet's `test` has no classes, so its `val` is what one measures on.
    private static func choice(of folders: [String]) throws -> String {
        try folders.first { try classNames($0) != nil } ?? folders[0]
    }

    // MARK: - Classes

    private static let annotationsName = "val_annotations.txt"

    /// The class of each file name, from lines `name TAB class TAB …`; nil without such a file.
    private static func annotations(_ folder: String) throws -> [String: String]? {
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
    private static func classNames(_ folder: String) throws -> [String]? {
        if let annotations = try annotations(folder) {
            return Set(annotations.values).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        }
        let listing = try FolderListing(folder)
        let names = try listing.folders.filter { try FolderListing.holdsImages(join(folder, $0), in: folder) }
        if names.isEmpty || listing.images.isEmpty && names == ["images"] { return nil }
        guard let stray = listing.images.first else { return names }
        throw InputError(
            "\(folder): holds images both itself (\(stray)) and in folders (\(names[0])), expected either: "
                + "folders are taken for classes")
    }

    // MARK: - Broken files

    /// The folder without files that can't be decoded, and a line about each of those. Collective.
    ///
    /// Ranks decode an equal part each and tell each other what is broken.
    func withoutBroken(_ request: ImageRequest, ranks: any Ranks) throws -> (ImageFolder, skipped: [String]) {
        let own = files.count * ranks.rank / ranks.worldSize..<files.count * (ranks.rank + 1) / ranks.worldSize
        var broken: [(index: Int, reason: String)] = []
        try ranks.agree {
            let channels = request.channels == 0 ? 3 : request.channels
            for index in own {
                request.progress?(index - own.lowerBound, own.count)
                do { _ = try ImageDecoder.decode(files[index], channels: channels, side: request.imageSize) } catch {
                    broken.append((index, "\(error)".split(whereSeparator: \.isNewline).joined(separator: " ")))
                }
            }
        }
        let indices = try ranks.gather(broken.map(\.index), filler: 0)
        let text = try ranks.gatherText(broken.map { $0.reason + "\n" }.joined())
        let skipped = text.joined().split(separator: "\n").map(String.init)
        try ranks.agree {
            guard skipped.count < files.count else {
                throw InputError("\(path): none of its \(files.count) images can be decoded; first \(skipped[0])")
            }
        }
        let isBroken = Set(indices)
        let kept = files.indices.filter { !isBroken.contains($0) }
        let folder = ImageFolder(
            path: path, files: kept.map { files[$0] }, labels: labels.map { labels in kept.map { labels[$0] } },
            classes: classes, hasSplits: hasSplits)
        return (folder, skipped)
    }
}
