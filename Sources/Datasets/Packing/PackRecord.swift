import Collectives
import Foundation

/// The settings that decide what a packed folder holds.
struct PackSettings: Codable, Equatable {
    /// Absolute path of the samples.
    let data: String
    /// The only split; nil for all that there are.
    let split: Split?
    let imageSize, channels: Int
    let layout: ArrayLayout
    let skipBroken: Bool
    /// Of `Reading`.
    let readingVersion: Int

    init(_ request: ImageRequest, split: Split?) {
        data = URL(fileURLWithPath: request.path).path
        self.split = split
        (imageSize, channels, layout) = (request.imageSize, request.channels, request.layout)
        skipBroken = request.skipBroken
        readingVersion = Reading.version
    }

    /// A phrase about the first setting that differs; nil where they are equal.
    func difference(from other: PackSettings) -> String? {
        func text(_ split: Split?) -> String { split?.rawValue ?? "all splits" }
        let pairs = [
            ("--data", data, other.data), ("--split", text(split), text(other.split)),
            ("data.imageSize", "\(imageSize)", "\(other.imageSize)"),
            ("data.channels", "\(channels)", "\(other.channels)"),
            ("data.layout", layout.rawValue, other.layout.rawValue),
            ("data.skipBroken", "\(skipBroken)", "\(other.skipBroken)"),
            ("the version of reading", "\(readingVersion)", "\(other.readingVersion)"),
        ]
        return pairs.first { $0.1 != $0.2 }.map { "\($0.0) is \($0.1), and was \($0.2)" }
    }
}

/// A split as `pack` writes it.
package struct PackedSplit: Codable, Equatable, Sendable {
    package let split: Split
    /// Axes of the array: `[N, height, width, channels]`, or `[N, columns]` of vectors.
    package let shape: [Int]
    /// uint8 or float32.
    package let element: NumPyElement
    package let isLabelled: Bool
    /// Number of classes with names; nil without names.
    package let classes: Int?
    /// Samples that are written together and then marked as done.
    let blockSize: Int
    /// That of the source.
    let fingerprint: Int

    /// Bytes of a block. A compressed file is read from its start for each block, so blocks of files are large; an
    /// image folder has smaller ones, because it takes long to decode.
    private static func blockBytes(_ format: ImageFormat) -> Int { format == .folder ? 1 << 22 : 1 << 26 }

    package var count: Int { shape[0] }
    package var bytes: Int { shape.reduce(element.size, *) }
    var blocks: Int { (count + blockSize - 1) / blockSize }

    /// The samples of a block.
    func rows(ofBlock block: Int) -> Range<Int> { block * blockSize..<min((block + 1) * blockSize, count) }

    /// - Parameter blockBytes: bytes of a block; nil takes them by the format.
    /// - Throws: `InputError` for samples that an array can't give back as they are.
    init(_ source: ImageSource, _ split: Split, blockBytes: Int? = nil) throws {
        let image = source.shape
        guard source.valueSize == 4 || !image.isVector else {
            throw InputError(
                "\(source.path): has images of 1x1 pixel, but arrays of these are read as vectors: use it as it is")
        }
        guard source.scale?.isIdentity ?? true else {
            throw InputError(
                "\(source.path): has numbers that need double precision, because they are shifted and scaled while they "
                    + "are read: use the array as it is, or save it with array.astype('<f4')")
        }
        self.split = split
        shape = [source.count] + (image.isVector ? [image.channels] : [image.height, image.width, image.channels])
        element = source.valueSize == 1 ? .uint8 : .float32
        isLabelled = try source.load(images: 0..<0).labels != nil
        classes = source.classNames?.count
        blockSize = max(1, (blockBytes ?? Self.blockBytes(source.format)) / (image.size * source.valueSize))
        fingerprint = source.fingerprint
    }

    /// A line for the user about the array, where the reader needs a setting.
    func notes(in folder: String) -> [String] {
        guard NumPyReader.looksPlanar(shape) else { return [] }
        return [
            "\(folder): arrays of shape \(shape) look as if channels came first: to read them, add --set "
                + "data.layout=channelsLast"
        ]
    }
}

/// What a packed folder was made from, in its file `pack.json`.
struct PackRecord: Codable, Equatable {
    static let name = "pack.json"

    let settings: PackSettings
    let splits: [PackedSplit]

    /// The record of a folder; nil where there is none.
    init?(in folder: String) throws {
        let path = join(folder, Self.name)
        guard FileManager.default.fileExists(atPath: path) else { return nil }
        do {
            self = try JSONDecoder().decode(PackRecord.self, from: Data(contentsOf: URL(fileURLWithPath: path)))
        } catch {
            throw InputError("\(path): is not what pack writes: give a new folder by --output")
        }
    }

    init(_ settings: PackSettings, _ splits: [PackedSplit]) { (self.settings, self.splits) = (settings, splits) }

    func write(in folder: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let path = join(folder, Self.name)
        try replaceFile(path, by: Array(try encoder.encode(self)), temporary: path + PackedFiles.ending)
        try synchronise(folder: folder)
    }
}
