import Foundation

/// A key that stands twice in an object, of which Foundation's reader would keep one.
struct RepeatedKey: Error, CustomStringConvertible {
    /// With those of the objects around it, joined by dots.
    let name: String
    let lines: (first: Int, second: Int)

    var description: String {
        let place = lines.first == lines.second ? "line \(lines.first)" : "lines \(lines.first) and \(lines.second)"
        return "\(name) is set twice, on \(place): keep one"
    }
}

/// Looks at the keys of a JSON5 text, and at nothing else.
struct JSON5Keys {
    private let text: [UInt8]
    private var place = 0
    private var line = 1
    /// The string or word that was read last.
    private var token: ArraySlice<UInt8> = []
    /// The objects and lists around the place: the key that each stands behind, and the lines of its own keys.
    private var open: [(key: String?, lines: [String: Int])] = []
    private var key: String?

    private init(_ text: Data) { self.text = Array(text) }

    /// - Throws: `RepeatedKey`; `DecodingError` for a quoted key with an escape or a control character, which no setting
    ///   has: Foundation of Swift 6.0 ends the process over some.
    static func check(_ text: Data) throws {
        var keys = JSON5Keys(text)
        while keys.place < keys.text.count { try keys.readNext() }
    }

    private mutating func readNext() throws {
        let byte = text[place]
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "'"): readString(quote: byte)
        case UInt8(ascii: "/") where follows("/"): skip { $0.follows("\n") }
        case UInt8(ascii: "/") where follows("*"): skip { $0.text[$0.place] == UInt8(ascii: "*") && $0.follows("/") }
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
        place + 1 < text.count && text[place + 1] == UInt8(ascii: character)
    }

    private mutating func advance() {
        if text[place] == UInt8(ascii: "\n") { line += 1 }
        place += 1
    }

    /// To behind the two bytes that this finds.
    private mutating func skip(until isEnd: (JSON5Keys) -> Bool) {
        advance()
        repeat { advance() } while place < text.count && !isEnd(self)
        for _ in 0..<2 where place < text.count { advance() }
    }

    private mutating func readString(quote: UInt8) {
        let start = place
        repeat {
            if text[place] == UInt8(ascii: "\\") { advance() }
            if place < text.count { advance() }
        } while place < text.count && text[place] != quote
        token = text[start..<place]
        if place < text.count { advance() }
    }

    private mutating func readWord() {
        let start = place
        let ends = Array(" \t\n\r:,{}[]/\"'".utf8)
        while place < text.count && (place == start || !ends.contains(text[place])) { advance() }
        token = text[start..<place]
    }

    /// What was read last is a key.
    private mutating func note() throws {
        guard let first = token.first, !open.isEmpty else { return }
        let isQuoted = first == UInt8(ascii: "\"") || first == UInt8(ascii: "'")
        let bytes = isQuoted ? token.dropFirst() : token
        let name = String(decoding: bytes, as: UTF8.self)
        guard !isQuoted || !bytes.contains(where: { $0 < 0x20 || $0 == UInt8(ascii: "\\") }) else {
            throw DecodingError.dataCorrupted(
                .init(
                    codingPath: [],
                    debugDescription: "line \(line) has a key with a \\, a line's end or a control character; is a "
                        + "quote missing?"))
        }
        if let earlier = open[open.count - 1].lines.updateValue(line, forKey: name) {
            let names = open.compactMap(\.key) + [name]
            throw RepeatedKey(name: names.joined(separator: "."), lines: (earlier, line))
        }
        key = name
    }
}
