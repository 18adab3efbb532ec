import Collectives
import Foundation

/// The splits of a folder of image files.
struct FolderSplits {
    /// The rules by which a folder is a split: the present ones, or those of version 1 of `Reading`.
    enum Rules {
        case now, version1

        /// Names of a split's folder, the preferred ones first.
        func names(_ split: Split) -> [String] {
            switch (split, self) {
            case (.train, .now): ["train", "training"]
            case (.train, .version1): ["train"]
            case (.test, .now): ["test", "testing", "val", "valid", "validation"]
            case (.test, .version1): ["test", "val", "validation"]
            case (.unlabelled, _): ["unlabelled", "unlabeled"]
            }
        }

        /// The folders that could be each split, the preferred one first.
        fileprivate func candidates(among folders: [String]) -> [Split: [String]] {
            var result: [Split: [String]] = [:]
            for split in Split.allCases {
                let found = names(split).flatMap { name in
                    folders.filter { (self == .now ? $0.lowercased() : $0) == name }
                }
                if !found.isEmpty { result[split] = found }
            }
            return result
        }
    }

    /// The folder of the splits: the given one, or the only folder with images in it, at any depth.
    private let root: String
    /// The folders that could be each split, the preferred one first.
    private let candidates: [Split: [String]]
    private let rules: Rules
    /// The other folders beside the splits: those with images, and those without, even if they are named like splits.
    private let others, barren: [String]

    /// nil where the folder has no splits.
    init?(of folder: String, by rules: Rules = .now) throws {
        var root = folder
        var listing = try FolderListing(root)
        var holding = try listing.foldersWithImages(in: root)
        while rules == .now, listing.images.isEmpty, holding.count == 1, rules.candidates(among: holding).isEmpty {
            root = join(root, holding[0])
            listing = try FolderListing(root)
            holding = try listing.foldersWithImages(in: root)
        }
        let candidates = rules.candidates(among: holding)
        guard listing.images.isEmpty, !candidates.isEmpty else { return nil }
        if candidates.count == 1 {  // a single folder of that name may be a class
            let part = join(root, candidates.values.joined().first ?? "")
            guard try holding.count == 1 || FolderClasses.names(part) != nil else { return nil }
        }
        (self.root, self.candidates, self.rules) = (root, candidates, rules)
        let known = Set(candidates.values.joined())
        others = holding.filter { !known.contains($0) } + listing.leftOut.misnamed
        barren = listing.folders.filter { !holding.contains($0) }
    }

    /// The folder of a split; nil where there is none. Folders with classes are preferred: ImageNet's `test` has none,
    /// so `val` is its test split.
    func part(_ split: Split) throws -> String? {
        guard let paths = candidates[split]?.map({ join(root, $0) }) else { return nil }
        return try paths.first { try FolderClasses.names($0) != nil } ?? paths[0]
    }

    /// - Throws: `InputError` where there is none.
    func needed(_ split: Split) throws -> String {
        if let part = try part(split) { return part }
        let names = rules.names(split).joined(separator: " or ")
        let found = candidates.values.joined().sorted(by: precedes).joined(separator: ", ")
        throw InputError("\(root): has no folder \(names) for the \(split.rawValue) split; found \(found)")
    }

    /// A line for each guess and each thing that was left out.
    /// - Parameter folder: the given folder.
    func notes(in folder: String) throws -> [String] {
        var lines: [String] = []
        if root != folder {
            let all = candidates.values.joined().sorted(by: precedes).joined(separator: ", ")
            lines.append("\(folder): its splits (\(all)) were found in \(root)")
        }
        for split in Split.allCases {
            guard let part = try part(split), let names = candidates[split], names.count > 1 else { continue }
            let others = names.filter { join(root, $0) != part }
            lines.append(
                "\(root): left out \(others.joined(separator: ", ")), because the \(split.rawValue) split is "
                    + URL(fileURLWithPath: part).lastPathComponent)
        }
        if !others.isEmpty {
            lines.append("\(root): left out folders that are not a split: \(LeftOut.list(others))")
        }
        if !barren.isEmpty { lines.append("\(root): found no image file in \(LeftOut.list(barren))") }
        return lines.map { oneLine($0) }
    }
}
