import Collectives
import Foundation

/// The JPEG and PNG files of a folder, or of one of its splits, with the classes given by their folders.
///
/// Layouts: `*.png` without classes; `CLASS/**/*.png`; either inside the folders of `FolderSplits`. A folder with
/// `val_annotations.txt`, as in Tiny ImageNet, has its classes from there. A single folder named `images` is not a
/// class.
struct ImageFolder {
    let path: String
    /// The files in order: class by class, then by name.
    private(set) var files: [String]
    /// `[files.count]`; nil without classes.
    private(set) var labels: [Int32]?
    /// Names of the classes of all splits, sorted.
    let classes: [String]
    let hasSplits: Bool
    /// A line for each guess and each thing that was left out.
    let notes: [String]
    let changes: [ReadingChange]
    /// A line for each image file, or folder with some, whose name isn't valid text.
    let misnamed: [String]

    /// nil where there are no images at all.
    init?(_ path: String, _ split: Split) throws {
        guard try FolderListing.holdsImages(path) else { return nil }
        let splits = try FolderSplits(of: path)
        let part = try Self.part(of: path, splits, split)
        let classes = split == .unlabelled && splits != nil ? nil : try Self.classes(of: part, splits)
        var tree = try ImageTree(part)
        if tree.files.isEmpty && tree.leftOut.misnamed.isEmpty { return nil }
        labels = try classes.map { try FolderClasses.labels(of: tree.files, in: part, classes: $0) }
        if try FolderClasses.annotations(part) != nil { tree.leftOut.take(ending: "txt") }
        var notes = try splits?.notes(in: path) ?? []
        if splits == nil, let classes { notes.append(Self.taken(whole: path, classes)) }
        self.notes = notes + tree.leftOut.notes(in: part, count: tree.files.count)
        misnamed = tree.leftOut.misnamed.map { "\($0): has a name that is not UTF-8: rename it" }
        changes = Self.changes(of: path, split, part)
        (self.path, self.classes, files, hasSplits) = (path, classes ?? [], tree.files, splits != nil)
    }

    // MARK: - Parts

    /// The folder that contains a split's images, at any depth.
    private static func part(of path: String, _ splits: FolderSplits?, _ split: Split) throws -> String {
        if let splits { return try splits.needed(split) }
        guard split != .unlabelled else {
            throw InputError("\(path): has no unlabelled split (folder unlabelled): use --set data.split=train")
        }
        return path
    }

    /// Classes of all splits; nil where the part has none. So a class missing in one split doesn't shift the numbers of
    /// others.
    private static func classes(of part: String, _ splits: FolderSplits?) throws -> [String]? {
        guard let own = try FolderClasses.names(part) else { return nil }
        guard let splits else { return own }
        var all = Set(own.map { Array($0.utf8) })
        for other in [Split.train, .test] {
            guard let folder = try splits.part(other), folder != part else { continue }
            for name in try FolderClasses.names(folder) ?? [] { all.insert(Array(name.utf8)) }
        }
        return all.sorted { $0.lexicographicallyPrecedes($1) }.map { String(decoding: $0, as: UTF8.self) }
    }

    // MARK: - Notes

    /// The note where no split was found. Names that look like splits come first, so that the user notices a class
    /// `Test`.
    private static func taken(whole path: String, _ classes: [String]) -> String {
        func isSuspect(_ name: String) -> Bool {
            ["train", "test", "val", "eval", "dev"].contains { name.lowercased().contains($0) }
        }
        let sorted = classes.filter(isSuspect) + classes.filter { !isSuspect($0) }
        return oneLine(
            "\(path): has no folders train and test, so all of it is one set, of "
                + "\(classes.count) class\(classes.count == 1 ? "" : "es"): \(LeftOut.list(sorted))")
    }

    /// The change where version 1 of reading took another part of the folder.
    private static func changes(of path: String, _ split: Split, _ part: String) -> [ReadingChange] {
        // A folder that version 1 refused was never read.
        guard let before = try? Self.part(of: path, FolderSplits(of: path, by: .version1), split), before != part,
            split == .train || before != path
        else { return [] }
        let earlier = before == path ? "all of it" : before
        let what = "the \(split.rawValue) split of \(path) is now \(part), and was \(earlier)"
        return [ReadingChange(since: 2, oneLine(what))]
    }

    // MARK: - Broken files

    /// The folder without files that can't be decoded, and a line about each of these. Collective.
    ///
    /// Each rank decodes an equal share. Then the ranks exchange the lists of broken files.
    func withoutBroken(_ request: ImageRequest, ranks: any Ranks) throws -> (ImageFolder, skipped: [String]) {
        let own = files.count * ranks.rank / ranks.worldSize..<files.count * (ranks.rank + 1) / ranks.worldSize
        var broken: [(index: Int, reason: String)] = []
        try ranks.agree {
            let channels = request.channels == 0 ? 3 : request.channels
            for index in own {
                request.progress?(.decoding, index - own.lowerBound, own.count)
                do { _ = try ImageDecoder.decode(files[index], channels: channels, side: request.imageSize) } catch {
                    broken.append((index, oneLine("\(error)")))
                }
            }
        }
        let indices = try ranks.gather(broken.map(\.index), filler: 0)
        let text = try ranks.gatherText(broken.map { $0.reason + "\n" }.joined())
        let skipped = misnamed + text.joined().split(separator: "\n").map(String.init)
        try ranks.agree {
            guard indices.count < files.count else {
                throw InputError(
                    "\(path): none of the \(files.count + misnamed.count) images can be decoded; the first: "
                        + "\(skipped[0])")
            }
        }
        let isBroken = Set(indices)
        let kept = files.indices.filter { !isBroken.contains($0) }
        var folder = self
        folder.files = kept.map { files[$0] }
        folder.labels = labels.map { labels in kept.map { labels[$0] } }
        return (folder, skipped)
    }
}
