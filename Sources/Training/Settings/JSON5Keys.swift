import Foundation

/// A key that an object has twice. Foundation's reader would silently keep one of them.
struct RepeatedKey: Error, CustomStringConvertible {
    /// The key after those of the objects around it, joined by dots.
    let name: String
    let lines: (first: Int, second: Int)

    var description: String {
        let span = lines.first == lines.second ? "line \(lines.first)" : "lines \(lines.first) and \(lines.second)"
        return "\(name) is set twice, on \(span): keep one"
    }
}

/// Looks at the keys of a JSON5 text, and at nothing else.
struct JSON5Keys {
    private let text: [UInt8]
    private var position = 0
    private var line = 1
    /// The string or word that was read last.
    private var token: ArraySlice<UInt8> = []
    /// The objects and lists around the position: the key that each belongs to, and the lines of its own keys.
    private var open: [(key: String?, lines: [String: Int])] = []
    private var key: String?

    private init(_ text: Data) { self.text = Array(text) }

    /// - Throws: `RepeatedKey`. Also `DecodingError` for a quoted key with an escape or a control character, which no
    ///   setting has: Foundation of Swift 6.0 ends the process at some of them.
    static func check(_ text: Data) throws {
        var keys = JSON5Keys(text)
        while keys.position < keys.text.count { try keys.readNext() }
    }

    private mutating func readNext() throws {
        let byte = text[position]
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "'"): readString(quote: byte)
        case UInt8(ascii: "/") where follows("/"): skip { $0.follows("\n") }
        case UInt8(ascii: "/") where follows("*"): skip { $0.text[$0.position] == UInt8(ascii: "*") && $0.follows("/") }
        case UInt8(ascii: "{"), UInt8(ascii: "["):
            open.append((key, [:]))
            (key, token) = (nil, [])
            advance()
        case UInt8(ascii: "}"), UInt8(ascii: "]"):
            _ = open.popLast()
            key = nil
            advance()
        case UInt8(ascii: ":"):
            try note()
            advance()
        case UInt8(ascii: ","), UInt8(ascii: " "), 9...13: advance()
        default: readWord()
        }
    }

    private func follows(_ character: Unicode.Scalar) -> Bool {
        position + 1 < text.count && text[position + 1] == UInt8(ascii: character)
    }

    private mutating func advance() {
        if text[position] == UInt8(ascii: "\n") { line += 1 }
        position += 1
    }

    /// Moves past the two bytes that `isEnd` finds.
    private mutating func skip(until isEnd: (JSON5Keys) -> Bool) {
        advance()
        repeat { advance() } while position < text.count && !isEnd(self)
        for _ in 0..<2 where position < text.count { advance() }
    }

    private mutating func readString(quote: UInt8) {
        let start = position
        repeat {
            if text[position] == UInt8(ascii: "\\") { advance() }
            if position < text.count { advance() }
        } while position < text.count && text[position] != quote
        token = text[start..<position]
        if position < text.count { advance() }
    }

    private mutating func readWord() {
        let start = position
        let ends = Array(" \t\n\r:,{}[]/\"'".utf8)
        while position < text.count && (position == start || !ends.contains(text[position])) { advance() }
        token = text[start..<position]
    }

    /// Notes that the last token is a key.
    private mutating func note() throws {
        guard let first = token.first, !open.isEmpty else { return }
        let isQuoted = first == UInt8(ascii: "\"") || first == UInt8(ascii: "'")
        let bytes = isQuoted ? token.dropFirst() : token
        let name = String(decoding: bytes, as: UTF8.self)
        guard !isQuoted || !bytes.contains(where: { $0 < 0x20 || $0 == UInt8(ascii: "\\") }) else {
            throw DecodingError.dataCorrupted(
                .init(
                    codingPath: [],
                    debugDescription: "line \(line) has a key with a \\, a newline or a control character; is a quote "
                        + "missing?"))
        }
        if let earlier = open[open.count - 1].lines.updateValue(line, forKey: name) {
            let names = open.compactMap(\.key) + [name]
            throw RepeatedKey(name: names.joined(separator: "."), lines: (earlier, line))
        }
        key = name
    }
}
