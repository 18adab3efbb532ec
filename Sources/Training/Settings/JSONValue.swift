import Collectives
import Foundation

/// A JSON document as a tree, so that settings can be laid over each other before they are decoded.
package enum JSONValue: Codable, Equatable, Sendable {
    case null
    case boolean(Bool)
    case integer(Int)
    /// A whole number beyond Int's range.
    case unsigned(UInt64)
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    /// Most levels of nesting. Settings have five. The decoder tries each kind of value in turn, which takes seconds
    /// for hundreds of levels.
    private static let deepest = 32

    package init(from decoder: any Decoder) throws {
        let value = try decoder.singleValueContainer()
        guard decoder.codingPath.count <= Self.deepest else {
            throw DecodingError.dataCorruptedError(
                in: value, debugDescription: "it nests deeper than \(Self.deepest) levels")
        }
        if value.decodeNil() {
            self = .null
        } else if let boolean = try? value.decode(Bool.self) {
            self = .boolean(boolean)
        } else if let integer = try? value.decode(Int.self) {
            self = .integer(integer)
        } else if let unsigned = try? value.decode(UInt64.self) {
            self = .unsigned(unsigned)
        } else if let number = try? value.decode(Double.self), number.isFinite {  // JSON5 has NaN and Infinity
            self = .number(number)
        } else if let string = try? value.decode(String.self) {
            self = .string(string)
        } else if let array = try? value.decode([JSONValue].self) {
            self = .array(array)
        } else {
            self = .object(try value.decode([String: JSONValue].self))
        }
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .boolean(let value): try container.encode(value)
        case .integer(let value): try container.encode(value)
        case .unsigned(let value): try container.encode(value)
        case .number(let value): try container.encode(value)
        case .string(let value): try container.encode(value)
        case .array(let value): try container.encode(value)
        case .object(let value): try container.encode(value)
        }
    }

    /// The value as JSON text.
    package var text: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return (try? encoder.encode(self)).map { String(decoding: $0, as: UTF8.self) } ?? "null"
    }

    /// Reads JSON5: comments, unquoted keys, single quotes and trailing commas are allowed.
    /// - Throws: `DecodingError`, and `RepeatedKey` where an object has a key twice.
    package static func parse(_ data: Data) throws -> JSONValue {
        // Foundation's reader of JSON5 crashes on other bytes.
        guard String(validating: data, as: UTF8.self) != nil else {
            throw DecodingError.dataCorrupted(.init(codingPath: [], debugDescription: "its text is not UTF-8"))
        }
        try JSON5Keys.check(data)
        let decoder = JSONDecoder()
        decoder.allowsJSON5 = true
        // If the text ends in a number, Foundation also reads the memory after it, and crashes on a digit there.
        return try decoder.decode(JSONValue.self, from: data + [UInt8(ascii: "\n")])
    }

    /// The tree of a value.
    package init(of value: some Encodable) throws { self = try Self.parse(JSONEncoder().encode(value)) }

    /// The members of an object; empty for any other value.
    package var members: [String: JSONValue] {
        guard case .object(let members) = self else { return [:] }
        return members
    }

    /// The whole number; nil for any other value.
    package var integer: Int? {
        guard case .integer(let value) = self else { return nil }
        return value
    }

    /// Dotted paths of the leaves, sorted.
    package var leaves: [String] {
        members.sorted { $0.key < $1.key }.flatMap { name, value in
            value.members.isEmpty ? [name] : value.leaves.map { "\(name).\($0)" }
        }
    }

    /// This tree with `other`'s leaves laid over it. Every key of `other` must be one of ours.
    /// - Throws: `InputError` that names the unknown key and the nearest known one.
    package func overlaid(with other: JSONValue, path: [String] = []) throws -> JSONValue {
        guard case .object(let mine) = self else { return other }
        guard case .object(let theirs) = other else {
            let name = path.isEmpty ? "the file" : "setting " + path.joined(separator: ".")
            throw InputError(
                "\(name) must be an object { } with any of the settings \(mine.keys.sorted().joined(separator: ", "))")
        }
        var result = mine
        for (key, value) in theirs {
            let name = (path + [key]).joined(separator: ".")
            guard let known = mine[key] else {
                let nearest = mine.keys.min { (key.distance(to: $0), $0) < (key.distance(to: $1), $1) } ?? ""
                let meant = (path + [nearest]).joined(separator: ".")
                throw InputError("unknown setting \(name): did you mean \(meant)?")
            }
            result[key] = try known.overlaid(with: value, path: path + [key])
        }
        return .object(result)
    }

    /// A tree with only `value` at a dotted path.
    package static func leaf(_ path: String, _ value: JSONValue) -> JSONValue {
        path.split(separator: ".", omittingEmptySubsequences: false).reversed().reduce(value) {
            .object([String($1): $0])
        }
    }

    /// The value at a dotted path; null where there is none.
    package func value(at path: String) -> JSONValue {
        path.split(separator: ".").reduce(self) { tree, key in
            guard case .object(let members) = tree else { return .null }
            return members[String(key)] ?? .null
        }
    }

    /// Dotted paths of the leaves that differ from `other`'s, sorted.
    package func differences(from other: JSONValue, path: [String] = []) -> [String] {
        guard case .object(let mine) = self, case .object(let theirs) = other else {
            return self == other ? [] : [path.joined(separator: ".")]
        }
        return Set(mine.keys).union(theirs.keys).sorted().flatMap { key in
            (mine[key] ?? .null).differences(from: theirs[key] ?? .null, path: path + [key])
        }
    }
}

extension String {
    /// Edits of one letter that turn this into `other` (Levenshtein 1966).
    package func distance(to other: String) -> Int {
        let target = Array(other)
        var row = Array(0...target.count)
        for (i, letter) in enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, wanted) in target.enumerated() {
                let replaced = diagonal + (letter == wanted ? 0 : 1)
                diagonal = row[j + 1]
                row[j + 1] = Swift.min(replaced, row[j] + 1, row[j + 1] + 1)
            }
        }
        return row[target.count]
    }
}
