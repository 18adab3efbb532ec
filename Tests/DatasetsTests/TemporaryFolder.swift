import CZlib
import Collectives
import Foundation
import Testing

@testable import Datasets

/// A new folder that goes with the test that made it.
final class TemporaryFolder {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "dim-dist-data-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Writes a file, in a subfolder if the name says so, and returns its path.
    @discardableResult
    func write(_ name: String, _ bytes: [UInt8]) throws -> String {
        let file = path + "/" + name
        let folder = URL(fileURLWithPath: file).deletingLastPathComponent()
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let isWritten = FileManager.default.createFile(atPath: file, contents: Data(bytes))
        try #require(isWritten)
        return file
    }

    /// As `write`, gzip-compressed.
    @discardableResult
    func writeCompressed(_ name: String, _ bytes: [UInt8]) throws -> String {
        let file = path + "/" + name
        let handle = try #require(gzopen(file, "wb"))
        #expect(gzwrite(handle, bytes, UInt32(bytes.count)) == bytes.count)
        #expect(gzclose(handle) == Z_OK)
        return file
    }

    /// A `.npy` file of format 1.0, of elements that NumPy spells so.
    @discardableResult
    func writeArray<Value: BitwiseCopyable>(
        _ name: String, _ descriptor: String, _ shape: [Int], _ values: [Value]
    ) throws -> String {
        let opening = NumPyHeader.opening(descriptor: descriptor, shape: shape)
        return try write(name, opening + values.withUnsafeBytes { Array($0) })
    }

    func read(_ name: String) throws -> [UInt8] {
        [UInt8](try #require(FileManager.default.contents(atPath: path + "/" + name)))
    }
}

/// Expects an `InputError` of one line that holds every one of the texts.
func expectInputError<Result>(
    _ texts: String..., sourceLocation: SourceLocation = #_sourceLocation, from work: () throws -> Result
) {
    do {
        _ = try work()
        Issue.record("no error, expected one with \(texts)", sourceLocation: sourceLocation)
    } catch let error as InputError {
        for text in texts {
            #expect(error.description.contains(text), "\(error)", sourceLocation: sourceLocation)
        }
        #expect(!error.description.contains("\n"), sourceLocation: sourceLocation)
    } catch {
        Issue.record("\(error) is no InputError", sourceLocation: sourceLocation)
    }
}

/// Four bytes, the highest first.
func bigEndian(_ number: Int) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: number >> (24 - 8 * $0)) } }

/// An IDX images file of `count` images, pixel i of the whole file being i * 7 mod 256.
func imagesFile(count: Int, height: Int, width: Int) -> [UInt8] {
    [2051, count, height, width].flatMap(bigEndian)
        + (0..<count * height * width).map { UInt8(truncatingIfNeeded: $0 * 7) }
}

func labelsFile(_ labels: [UInt8]) -> [UInt8] { [2049, labels.count].flatMap(bigEndian) + labels }

/// Opens images on one rank, which throws as `ImageSource(path:split:)` does.
func open(_ request: ImageRequest) throws -> ImageSource {
    do { return try ImageSource(request, ranks: SingleRank()) } catch let error as AgreedError {
        #expect(error.status == .badInput)
        throw InputError(error.description)
    }
}

/// The files that `Fixtures/images.py` made, and what Pillow makes of them.
struct ImageFixtures: Decodable {
    let height: Int
    let width: Int
    /// `[height, width, 3]` in hexadecimal, by file, what is transparent on black.
    let rgb: [String: String]
    /// `[height, width]`.
    let grey: [String: String]
    /// `[side, side, 3]`, by side: of `rgb.png`, resized and cropped.
    let resized: [String: String]
    let textures: [Texture]

    /// A pattern that both languages make, resized and cropped by Pillow.
    struct Texture: Decodable {
        let height: Int
        let width: Int
        let side: Int
        /// `[side, side]` in hexadecimal.
        let resized: String
    }

    private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("Fixtures")

    static func load() throws -> ImageFixtures {
        try JSONDecoder().decode(
            ImageFixtures.self, from: Data(contentsOf: folder.appendingPathComponent("images.json")))
    }

    static func path(_ name: String) -> String { folder.appendingPathComponent(name).path }

    static func file(_ name: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: folder.appendingPathComponent(name)))
    }

    static func bytes(_ text: String) -> [UInt8] {
        let digits = Array(text.utf8)
        return stride(from: 0, to: digits.count, by: 2).compactMap {
            UInt8(String(decoding: digits[$0..<$0 + 2], as: UTF8.self), radix: 16)
        }
    }
}

/// The largest distance of two values at the same index; nil where the counts differ.
func largestDistance(_ a: [UInt8], _ b: [UInt8]) -> Int? {
    a.count == b.count ? zip(a, b).map { abs(Int($0) - Int($1)) }.max() : nil
}
