import Collectives
import Foundation

/// The files of a split in a packed folder.
///
/// While it is being packed, arrays have names that end in `.packing`, and a byte for each block says whether the block
/// is done. It becomes 1 after the block's samples are on the disk. So after a kill at any time, the samples of marked
/// blocks are whole. The array of samples is the last to get its own name. Where it has it, the split is complete.
struct PackedFiles {
    /// The end of the names of unfinished files.
    static let ending = ".packing"

    let split: PackedSplit
    private let folder: String

    init(_ split: PackedSplit, in folder: String) { (self.split, self.folder) = (split, folder) }

    var samples: String { join(folder, "\(split.split.rawValue).npy") }
    private var labels: String { join(folder, "\(split.split.rawValue)_labels.npy") }
    private var marks: String { join(folder, "\(split.split.rawValue)_blocks" + Self.ending) }

    var isComplete: Bool { Self.exists(samples) }

    // MARK: - Before

    /// Continues unfinished files, or makes new ones. For one rank.
    /// - Returns: the blocks that are not done.
    /// - Throws: `InputError`, also where the disk has no room for new ones.
    func begin() throws -> [Int] {
        if isComplete { return [] }
        if !isBegun { try create() }
        var done = [UInt8](repeating: 0, count: split.blocks)
        let file = try SystemFile(marks, .read)
        try done.withUnsafeMutableBytes { try file.read(into: $0, at: 0) }
        return done.indices.filter { done[$0] == 0 }
    }

    /// Whether a kill left files of this split, whose marks can be trusted.
    private var isBegun: Bool {
        guard let array = try? open(samples, [split.element]), array.shape == split.shape else { return false }
        guard (try? fileSize(marks)) == split.blocks else { return false }
        return !split.isLabelled || Self.exists(labels) || (try? open(labels, [.int32]))?.shape == [split.count]
    }

    /// Old marks go first, and are gone from the disk before there are new arrays.
    private func create() throws {
        for file in [marks, labels + Self.ending, samples + Self.ending] { unlink(file) }
        try synchronise(folder: folder)
        try requireRoom(for: split.bytes, in: folder)
        if split.isLabelled {
            _ = try NumPyArray.create(path: labels + Self.ending, shape: [split.count], element: .int32)
        }
        _ = try NumPyArray.create(path: samples + Self.ending, shape: split.shape, element: split.element)
        let file = try SystemFile(marks, .create)
        try file.setSize(split.blocks)
        try file.synchronise()
        try synchronise(folder: folder)
    }

    private func open(_ path: String, _ elements: [NumPyElement]) throws -> NumPyArray {
        try NumPyArray(path: path + Self.ending, accepting: elements)
    }

    // MARK: - Blocks

    /// Reads the samples of a block and writes them. When it returns, they are on the disk and marked as done.
    /// - Returns: remarks on the image files.
    func store(block: Int, of source: ImageSource) throws -> RemarkedFiles {
        let rows = split.rows(ofBlock: block)
        let images = try source.load(images: rows)
        if let values = images.labels {
            let array = try open(labels, [.int32])
            try values.withUnsafeBytes { try array.store(rows: rows.lowerBound, bytes: $0) }
        }
        let array = try open(samples, [split.element])
        try images.pixels.withUnsafeBytes { try array.store(rows: rows.lowerBound, bytes: $0) }
        let file = try SystemFile(marks, .update)
        try [UInt8(1)].withUnsafeBytes { try file.write($0, at: block) }
        return images.remarks
    }

    // MARK: - After

    /// Writes the names of a source, and gives the files their names. All blocks are done. It may be killed and called
    /// again. For one rank.
    func finish(_ source: ImageSource) throws {
        if let names = try source.names(of: 0..<source.count) {
            let path = NumPyNames.samplesPath(of: samples)
            try replaceFile(path, by: NumPyNames.text(names, purpose: "the file"), temporary: path + Self.ending)
        }
        if let classes = source.classNames {
            let path = join(folder, NumPyNames.classesName)
            try replaceFile(path, by: NumPyNames.text(classes, purpose: "the class"), temporary: path + Self.ending)
        }
        if Self.exists(labels + Self.ending) { try renameFile(labels + Self.ending, to: labels) }
        try synchronise(folder: folder)
        try renameFile(samples + Self.ending, to: samples)
        unlink(marks)
        try synchronise(folder: folder)
    }

    private static func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }
}
