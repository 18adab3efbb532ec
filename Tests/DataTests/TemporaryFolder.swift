import CZlib
import Collectives
import Foundation
import Testing

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
        let isWritten = FileManager.default.createFile(atPath: file, contents: .init(bytes))
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
