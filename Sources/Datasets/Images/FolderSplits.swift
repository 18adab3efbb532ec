import Collectives
import Foundation

/// How a folder of image files is cut into splits.
struct FolderSplits {
    /// What makes a folder a split: as it is now, or as it was in version 1 of `Reading`.
    enum Rules {
        case now, version1

        /// The preferred ones first.
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

    /// The folder they lie in: the one given, or one in which all else lies.
    private let place: String
    /// The folders that could be each split, the preferred one first.
    private let candidates: [Split: [String]]
    private let rules: Rules
    /// The other folders beside those: some with images, and all without, splits by their names among them.
    private let others, barren: [String]

    /// nil where the folder isn't cut into splits.
    init?(of folder: String, by rules: Rules = .now) throws {
        var place = folder
        var listing = try FolderListing(place)
        var holding = try listing.foldersWithImages(in: place)
        while rules == .now, listing.images.isEmpty, holding.count == 1, rules.candidates(among: holding).isEmpty {
            place = join(place, holding[0])
            listing = try FolderListing(place)
            holding = try listing.foldersWithImages(in: place)
        }
        let candidates = rules.candidates(among: holding)
        guard listing.images.isEmpty, !candidates.isEmpty else { return nil }
        if candidates.count == 1 {  // a single such name may be that of a class
            let part = join(place, candidates.values.joined().first ?? "")
            guard try holding.count == 1 || FolderClasses.names(part) != nil else { return nil }
        }
        (self.place, self.candidates, self.rules) = (place, candidates, rules)
        let known = Set(candidates.values.joined())
        others = holding.filter { !known.contains($0) } + listing.leftOut.misnamed
        barren = listing.folders.filter { !holding.contains($0) }
    }

    /// The folder of a split; nil where there is none. ImageNet's `test` has no classes, so its `val` is what one measures
    /// on.
    func part(_ split: Split) throws -> String? {
        guard let paths = candidates[split]?.map({ join(place, $0) }) else { return nil }
        return try paths.first { try FolderClasses.names($0) != nil } ?? paths[0]
    }

    /// - Throws: `InputError` where there is none.
    func needed(_ split: Split) throws -> String {
        if let part = try part(split) { return part }
        let names = rules.names(split).joined(separator: " or ")
        let found = candidates.values.joined().sorted(by: precedes).joined(separator: ", ")
        throw InputError("\(place): no folder \(names) for the \(split.rawValue) split; found \(found)")
    }

    /// A line about each thing that was guessed or left out.
    /// - Parameter folder: the one given.
    func notes(in folder: String) throws -> [String] {
        var lines: [String] = []
        if place != folder {
            let all = candidates.values.joined().sorted(by: precedes).joined(separator: ", ")
            lines.append("\(folder): its splits (\(all)) were found in \(place)")
        }
        for split in Split.allCases {
            guard let part = try part(split), let names = candidates[split], names.count > 1 else { continue }
            let others = names.filter { join(place, $0) != part }
            lines.append(
                "\(place): left out \(others.joined(separator: ", ")), for the \(split.rawValue) split is "
                    + URL(fileURLWithPath: part).lastPathComponent)
        }
        if !others.isEmpty {
            lines.append("\(place): left out folders that are no split: \(LeftOut.list(others))")
        }
        if !barren.isEmpty { lines.append("\(place): no image file in \(LeftOut.list(barren))") }
        return lines.map { oneLine($0) }
    }
}
