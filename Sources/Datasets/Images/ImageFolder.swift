import Collectives
import Foundation

/// The JPEG and PNG files of a folder, of one split where it has several, with the classes that their folders tell.
///
/// Layouts: `*.png` without classes; `CLASS/**/*.png`; either inside the folders of `FolderSplits`. A folder with
/// `val_annotations.txt`, as in Tiny ImageNet, takes classes from there. A lone folder named `images` is no class.
struct ImageFolder {
    let path: String
    /// In order: class by class, then by name.
    private(set) var files: [String]
    /// `[files.count]`; nil without classes.
    private(set) var labels: [Int32]?
    /// Names of classes, sorted: those of all splits.
    let classes: [String]
    let hasSplits: Bool
    /// A line for each thing that was guessed or left out.
    let notes: [String]
    let changes: [ReadingChange]
    /// A line for each image file, and folder of some, that can't be named in text.
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
        misnamed = tree.leftOut.misnamed.map { "\($0): its name is not UTF-8: rename it" }
        changes = Self.changes(of: path, split, part)
        (self.path, self.classes, files, hasSplits) = (path, classes ?? [], tree.files, splits != nil)
    }

    // MARK: - What belongs to it

    /// The folder that a split's images lie in, or below.
    private static func part(of path: String, _ splits: FolderSplits?, _ split: Split) throws -> String {
        if let splits { return try splits.needed(split) }
        guard split != .unlabelled else {
            throw InputError("\(path): has no folder unlabelled, so no such split: --set data.split=train")
        }
        return path
    }

    /// Classes of all splits; nil where the part has none. One that a split lacks doesn't shift the numbers of others.
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

    // MARK: - What is said of it

    /// Where no split was found a class called `Test` is to be seen: what looks like a split comes first.
    private static func taken(whole path: String, _ classes: [String]) -> String {
        func isSuspect(_ name: String) -> Bool {
            ["train", "test", "val", "eval", "dev"].contains { name.lowercased().contains($0) }
        }
        let sorted = classes.filter(isSuspect) + classes.filter { !isSuspect($0) }
        return oneLine(
            "\(path): no folders train and test, so all of it is one set, of \(classes.count) "
                + "class\(classes.count == 1 ? "" : "es"): \(LeftOut.list(sorted))")
    }

    /// Whether version 1 of reading took another part of the folder.
    private static func changes(of path: String, _ split: Split, _ part: String) -> [ReadingChange] {
        // What it refused was never read.
        guard let before = try? Self.part(of: path, FolderSplits(of: path, by: .version1), split), before != part,
            split == .train || before != path
        else { return [] }
        let earlier = before == path ? "all of it" : before
        let what = "the \(split.rawValue) split of \(path) is \(part) now, and was \(earlier)"
        return [ReadingChange(since: 2, oneLine(what))]
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
                    "\(path): none of its \(files.count + misnamed.count) images can be decoded; first \(skipped[0])")
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
