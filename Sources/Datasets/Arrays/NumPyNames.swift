import Collectives
import Foundation

/// Names in files beside an array `NAME.npy` of samples: `classes.txt` with a line for each class from 0 on, and
/// `NAME_ids.txt` with a line for each sample. Both are optional. `pack` writes them.
struct NumPyNames {
    static let classesName = "classes.txt"

    /// Names of classes by label; nil without that file.
    let classes: [String]?
    let classesPath: String
    /// The file of samples' names; nil where there is none.
    private let samplesPath: String?
    /// Number of samples, and of lines in that file.
    private let count: Int
    private let arrayPath: String

    /// - Throws: `InputError` where `classes.txt` isn't text.
    init(of array: NumPyArray) throws {
        let url = URL(fileURLWithPath: array.path)
        classesPath = url.deletingLastPathComponent().appendingPathComponent(Self.classesName).path
        classes = FileManager.default.fileExists(atPath: classesPath) ? try Self.lines(of: classesPath) : nil
        let samples = Self.samplesPath(of: array.path)
        samplesPath = FileManager.default.fileExists(atPath: samples) ? samples : nil
        (count, arrayPath) = (array.rows, array.path)
    }

    static func samplesPath(of array: String) -> String {
        (array.hasSuffix(".npy") ? String(array.dropLast(4)) : array) + "_ids.txt"
    }

    /// Names of some samples; nil without a file of them.
    /// - Throws: `InputError` unless the file has a line for each sample.
    func samples(_ range: Range<Int>) throws -> [String]? {
        guard let samplesPath else { return nil }
        let lines = try Self.lines(of: samplesPath)
        guard lines.count == count else {
            throw InputError(
                "\(samplesPath): has \(lines.count) lines, expected \(count), a name for each row of \(arrayPath)")
        }
        return Array(lines[range])
    }

    /// Only newlines end a line: names may have other characters that Unicode counts as such.
    private static func lines(of path: String) throws -> [String] {
        try requireRegularFile(path)
        guard let bytes = FileManager.default.contents(atPath: path),
            String(validating: bytes, as: UTF8.self) != nil
        else { throw InputError("\(path): can't be read as text in UTF-8") }
        var lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        if lines.last?.isEmpty == true { lines.removeLast() }
        return lines.map { String(decoding: $0, as: UTF8.self) }
    }

    /// The content of such a file.
    /// - Parameter purpose: what the names are of, for the error.
    /// - Throws: `InputError` where a name has a newline.
    static func text(_ names: [String], purpose: String) throws -> [UInt8] {
        if let name = names.first(where: { $0.utf8.contains(UInt8(ascii: "\n")) }) {
            throw InputError("\(purpose) '\(name)' has a newline, but names are packed a line each: rename it")
        }
        return names.flatMap { Array($0.utf8) + [UInt8(ascii: "\n")] }
    }
}
