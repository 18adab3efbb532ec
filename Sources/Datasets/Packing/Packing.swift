import Collectives
import Foundation

/// Samples of any format as arrays, which later runs map instead of decoding them.
///
/// Each rank reads consecutive blocks of samples and writes them at their position in the files of `PackedFiles`. The
/// files have the same bytes at any number of ranks. A packing that was killed goes on when it is started again with
/// the same settings, also with another number of ranks.
package final class Packing {
    package enum Outcome: Equatable, Sendable {
        case finished
        /// Stopped on request, with this number of samples done, of all splits.
        case interrupted(done: Int)
    }

    package let splits: [PackedSplit]
    /// Whether all was done before.
    package let wasComplete: Bool
    /// A line for each image file that was left out.
    package let skipped: [String]
    /// Notes for the user: a line for each guess, conversion and thing left out, over all ranks.
    package private(set) var notes: [String]
    /// Samples of all splits.
    package var count: Int { splits.map(\.count).reduce(0, +) }

    private let folder: String
    /// Those of `splits`; empty if all was done before.
    private let sources: [ImageSource]
    private let ranks: any Ranks

    /// Opens the samples, and makes or continues a packed folder. Collective.
    /// - Parameters:
    ///   - request: of any split.
    ///   - split: the only split to pack; nil for all that there are.
    ///   - folder: an existing folder, empty or left by an earlier packing.
    ///   - blockBytes: bytes of samples that are written together; nil takes them by the format.
    /// - Throws: the errors of `agree`: for samples that can't be packed, and for a folder of another packing or of
    ///   other files.
    package init(_ request: ImageRequest, split: Split?, folder: String, blockBytes: Int? = nil, ranks: any Ranks)
        throws
    {
        self.folder = folder
        self.ranks = ranks
        let settings = PackSettings(request, split: split)
        let earlier = try ranks.agree { try Self.earlier(settings, in: folder) }
        let isComplete = earlier?.splits.allSatisfy { PackedFiles($0, in: folder).isComplete } ?? false
        if let earlier, try ranks.gather(isComplete ? 1 : 0)[0] == 1 {  // as rank 0 sees it
            (splits, sources, skipped, notes, wasComplete) = (earlier.splits, [], [], [], true)
            return
        }
        let names = try ranks.agree { try split.map { [$0] } ?? ImageFiles.splits(of: request.path) }
        let sources = try names.map { name in
            var request = request
            request.split = name
            return try ImageSource(request, ranks: ranks)
        }
        let splits = try ranks.agree {
            guard request.layout == .automatic || sources.allSatisfy({ $0.format == .numPy }) else {
                throw InputError(
                    "data.layout is \(request.layout.rawValue), but \(request.path) holds no .npy images: leave it out")
            }
            for source in sources where ranks.isFirst {  // before hours of decoding
                _ = try NumPyNames.text(source.names(of: 0..<source.count) ?? [], purpose: "the file")
                _ = try NumPyNames.text(source.classNames ?? [], purpose: "the class")
            }
            return try zip(sources, names).map { try PackedSplit($0, $1, blockBytes: blockBytes) }
        }
        try ranks.agree {
            guard let earlier else {
                if ranks.isFirst { try PackRecord(settings, splits).write(in: folder) }
                return
            }
            guard earlier.splits == splits else {
                throw InputError(
                    "\(folder): was begun when \(request.path) held other files: give a new folder by --output")
            }
        }
        (self.splits, self.sources, wasComplete) = (splits, sources, false)
        skipped = sources.flatMap(\.skipped)
        notes = sources.flatMap(\.notes) + splits.flatMap { $0.notes(in: folder) }
    }

    /// The record of an earlier packing of the same settings; nil in a new folder.
    /// - Throws: `InputError` for another folder.
    private static func earlier(_ settings: PackSettings, in folder: String) throws -> PackRecord? {
        if let record = try PackRecord(in: folder) {
            guard let difference = settings.difference(from: record.settings) else { return record }
            throw InputError("\(folder): holds another packing (\(difference)): give a new folder by --output")
        }
        let others = try FolderListing.names(in: folder).filter { !$0.hasSuffix(PackedFiles.ending) }
        guard others.isEmpty else {
            throw InputError(
                "\(folder): holds other files (\(LeftOut.list(others))): give a new folder by --output")
        }
        return nil
    }

    /// Packs what isn't done yet. Collective.
    /// - Parameters:
    ///   - isStopped: whether this rank is asked to stop; called before each block.
    ///   - progress: called with the number of samples that are done, of `count`.
    /// - Throws: the errors of `agree`. What is done stays done.
    package func run(isStopped: () -> Bool, progress: (_ done: Int) -> Void) throws -> Outcome {
        var done = 0
        for (split, source) in zip(splits, sources) {
            let before = done
            done += try pack(source, PackedFiles(split, in: folder), isStopped) { progress(before + $0) }
            if done < before + split.count { return .interrupted(done: done) }
        }
        return .finished
    }

    /// Packs a split. Collective.
    /// - Returns: the samples that are done; fewer than all where a stop was requested.
    private func pack(
        _ source: ImageSource, _ files: PackedFiles, _ isStopped: () -> Bool, _ progress: (_ done: Int) -> Void
    ) throws -> Int {
        let split = files.split
        if try ranks.gather(files.isComplete ? 1 : 0)[0] == 1 { return split.count }  // as rank 0 sees it
        let found = try ranks.agree { ranks.isFirst ? try files.begin() : [] }
        let pending = try ranks.gather(found, filler: 0)
        func part(_ rank: Int) -> ArraySlice<Int> {
            pending[pending.count * rank / ranks.worldSize..<pending.count * (rank + 1) / ranks.worldSize]
        }
        let parts = (0..<ranks.worldSize).map(part)
        let missing = pending.map { split.rows(ofBlock: $0).count }.reduce(0, +)
        var done = split.count - missing
        var remarks = RemarkedFiles()
        for round in 0..<(parts.map(\.count).max() ?? 0) {
            if try ranks.sum([isStopped() ? 1 : 0])[0] > 0 { return done }
            try ranks.agree {
                guard let block = parts[ranks.rank].dropFirst(round).first else { return }
                remarks.add(try files.store(block: block, of: source))
            }
            done += parts.compactMap { $0.dropFirst(round).first }.map { split.rows(ofBlock: $0).count }.reduce(0, +)
            progress(done)
        }
        let total = try remarks.total(over: ranks)
        try ranks.agree { if ranks.isFirst { try files.finish(source) } }
        if missing < split.count, source.format == .folder {
            notes.append(
                "\(oneLine(source.path)): lines about image files count the \(missing) of \(split.count) that were "
                    + "packed now, not those of an earlier start")
        }
        notes += total.notes(of: missing).map { "\(oneLine(source.path)): \($0)" }
        return split.count
    }
}
