import Collectives
import Foundation

/// A named array in a safetensors file.
package struct NamedArray {
    package let name: String
    package let shape: [Int]
    package let values: UnsafeMutableBufferPointer<Float>

    package init(name: String, shape: [Int], values: UnsafeMutableBufferPointer<Float>) {
        self.name = name
        self.shape = shape
        self.values = values
    }
}

/// Reads and writes safetensors files: the length of a JSON header in 8 bytes, the header, then raw little-endian
/// arrays (https://huggingface.co/docs/safetensors). Only float32.
package enum SafeTensors {
    private struct Entry: Codable {
        let dtype: String
        let shape: [Int]
        let offsets: [Int]

        private enum CodingKeys: String, CodingKey {
            case dtype, shape
            case offsets = "data_offsets"
        }
    }

    /// The header of a file to write: an entry for each array, and texts about the file under a reserved name.
    private struct Written: Encodable {
        let entries: [String: Entry]
        let metadata: [String: String]

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: Name.self)
            for (name, entry) in entries { try container.encode(entry, forKey: Name(stringValue: name)) }
            if !metadata.isEmpty { try container.encode(metadata, forKey: .metadata) }
        }
    }

    private struct Name: CodingKey, Equatable {
        static let metadata = Name(stringValue: "__metadata__")
        let stringValue: String
        var intValue: Int? { nil }

        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    /// The header of a file to read: the entry of each array, nil where it is malformed.
    private struct Header: Decodable {
        private(set) var entries: [String: Entry?] = [:]

        init(from decoder: any Decoder) throws {
            let arrays = try decoder.container(keyedBy: Name.self)
            for name in arrays.allKeys where name != .metadata {
                entries.updateValue(try? arrays.decode(Entry.self, forKey: name), forKey: name.stringValue)
            }
        }
    }

    /// Most bytes of a header; a larger one is refused.
    private static let largestHeader = 1 << 20

    /// The file's bytes before the arrays.
    /// - Parameter metadata: texts for other programs that read the file.
    package static func header(_ arrays: [NamedArray], metadata: [String: String] = [:]) throws -> Data {
        var entries: [String: Entry] = [:]
        var offset = 0
        for array in arrays {
            let bytes = array.values.count * 4
            entries[array.name] = Entry(dtype: "F32", shape: array.shape, offsets: [offset, offset + bytes])
            offset += bytes
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        var json = try encoder.encode(Written(entries: entries, metadata: metadata))
        json.append(contentsOf: Array(repeating: UInt8(ascii: " "), count: (8 - json.count % 8) % 8))
        return withUnsafeBytes(of: UInt64(json.count).littleEndian) { Data($0) } + json
    }

    /// Fills `arrays` from a file's bytes, which must hold exactly these names with these shapes.
    /// - Throws: `InputError` that names the file and what differs.
    package static func read(_ data: Data, file: String, into arrays: [NamedArray]) throws {
        let (header, start) = try contents(data, file: file)
        let names = Set(arrays.map(\.name))
        if let other = header.entries.keys.sorted().first(where: { !names.contains($0) }) {
            throw InputError("\(file): has an unknown array \(other): it was written with other settings")
        }
        try fill(arrays, from: data, header, start, file: file)
    }

    /// Fills those of `arrays` that a file's bytes have too, with the same shape.
    /// - Returns: a phrase on each array that is missing, left over or of another shape.
    /// - Throws: `InputError` where the file is damaged.
    static func readCommon(_ data: Data, file: String, into arrays: [NamedArray]) throws -> [String] {
        let (header, start) = try contents(data, file: file)
        var common: [NamedArray] = []
        var differences: [String] = []
        for array in arrays {
            guard let entry = header.entries[array.name] ?? nil else {
                differences.append("\(array.name) is missing")
                continue
            }
            if entry.shape == array.shape {
                common.append(array)
            } else {
                differences.append("\(array.name) is \(entry.shape), not \(array.shape)")
            }
        }
        try fill(common, from: data, header, start, file: file)
        let names = Set(arrays.map(\.name))
        return differences + header.entries.keys.filter { !names.contains($0) }.sorted().map { "\($0) is left over" }
    }

    /// The header of a file's bytes, and where its arrays begin.
    private static func contents(_ data: Data, file: String) throws -> (header: Header, start: Data.Index) {
        guard data.count >= 8 else {
            throw InputError("\(file): has \(data.count) bytes, too few for safetensors: truncated or damaged")
        }
        let length = data.prefix(8).enumerated().reduce(UInt64(0)) { $0 | UInt64($1.element) << (8 * $1.offset) }
        guard length <= largestHeader && Int(length) <= data.count - 8 else {
            throw InputError(
                "\(file): has a header of \(length) bytes in a file of \(data.count): truncated or damaged")
        }
        let start = data.startIndex + 8 + Int(length)
        let text = data[data.startIndex + 8..<start]
        guard let header = try? JSONDecoder().decodeForeign(Header.self, from: text) else {
            throw InputError("\(file): has a header that is not JSON: damaged")
        }
        return (header, start)
    }

    private static func fill(
        _ arrays: [NamedArray], from data: Data, _ header: Header, _ start: Data.Index, file: String
    ) throws {
        for array in arrays {
            guard let entry = header.entries[array.name] ?? nil else {
                throw InputError("\(file): has no array \(array.name): it was written with other settings")
            }
            let bytes = array.values.count * 4
            guard entry.dtype == "F32" && entry.shape == array.shape else {
                throw InputError(
                    "\(file): array \(array.name) is \(entry.dtype) \(entry.shape), expected F32 \(array.shape)")
            }
            guard entry.offsets.count == 2, entry.offsets[0] >= 0, bytes <= data.count,
                entry.offsets[0] <= data.endIndex - start - bytes,
                entry.offsets[1] == entry.offsets[0] + bytes
            else { throw InputError("\(file): array \(array.name) lies beyond the file's end: truncated or damaged") }
            let from = start + entry.offsets[0]
            _ = data.copyBytes(to: UnsafeMutableRawBufferPointer(array.values), from: from..<from + bytes)
        }
    }
}
