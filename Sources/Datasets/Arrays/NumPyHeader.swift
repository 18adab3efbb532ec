import Collectives

/// Element types of `.npy` files that we read, as NumPy spells them on little-endian processors.
package enum NumPyElement: String, CaseIterable, Codable, Sendable {
    /// 0 or 1.
    case bool = "|b1"
    case uint8 = "|u1"
    case int8 = "|i1"
    case uint16 = "<u2"
    case int16 = "<i2"
    case uint32 = "<u4"
    case int32 = "<i4"
    case uint64 = "<u8"
    case int64 = "<i8"
    case float16 = "<f2"
    case float32 = "<f4"
    case float64 = "<f8"

    package static let floats: [NumPyElement] = [.float32, .float64, .float16]

    /// Bytes of one element.
    package var size: Int {
        switch self {
        case .bool, .uint8, .int8: 1
        case .uint16, .int16, .float16: 2
        case .uint32, .int32, .float32: 4
        case .uint64, .int64, .float64: 8
        }
    }

    /// Whether Float holds all its values exactly.
    var fitsFloat: Bool {
        switch self {
        case .bool, .uint8, .int8, .uint16, .int16, .float16, .float32: true
        case .uint32, .int32, .uint64, .int64, .float64: false
        }
    }

    /// The rounding of a value, as a fraction of it. It counts as 0 for whole numbers, and for half precision, whose
    /// values are few.
    var rounding: Double {
        switch self {
        case .float32: Double(Float.ulpOfOne)
        case .float64: Double.ulpOfOne
        default: 0
        }
    }

    /// Advice on saving elements of type `descriptor` (in NumPy's spelling) as one of `accepted`, without loss.
    static func advice(for descriptor: String, _ accepted: [NumPyElement]) -> String {
        let takesIntegers = accepted.contains(.int64)
        return switch descriptor.drop(while: { "<>|=".contains($0) }).first {
        case "c": "save real and imaginary parts with numpy.stack([array.real, array.imag], -1)"
        case "f": "save with array.astype('<f8')"
        case "b", "i", "u", "m", "M": "save with array.astype('\(takesIntegers ? "<i8" : "<f8")')"
        default:
            "save numbers with array.astype('<f8'), and names of classes as numpy.unique(array, return_inverse=True)[1]"
        }
    }
}

/// The dictionary at the start of a `.npy` file, e.g. `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.
struct NumPyHeader {
    var element: NumPyElement
    var shape: [Int]
    /// Whether an element's highest byte comes first.
    var isBigEndian = false

    /// The header as Python text.
    var text: String { Self.text(descriptor: element.rawValue, shape: shape) }

    /// The bytes at the start of a file with this header.
    var opening: [UInt8] { Self.opening(descriptor: element.rawValue, shape: shape) }

    private static func text(descriptor: String, shape: [Int]) -> String {
        let axes = shape.map(String.init).joined(separator: ", ") + (shape.count == 1 ? "," : "")
        return "{'descr': '\(descriptor)', 'fortran_order': False, 'shape': (\(axes)), }"
    }

    /// All bytes before the first element, in format 1.0, for at most `NumPyArray.mostAxes` axes.
    /// - Parameter descriptor: the element's type in NumPy's spelling, such as `<U5` for text.
    static func opening(descriptor: String, shape: [Int]) -> [UInt8] {
        let text = Array(text(descriptor: descriptor, shape: shape).utf8)
        // The file starts with ten bytes. Spaces and a newline bring the data to a multiple of 64, as in NumPy.
        let padded = (10 + text.count + 1 + 63) / 64 * 64 - 10
        precondition(padded <= UInt16.max, "\(shape.count) axes in a header of format 1.0")
        return NumPyArray.magic + [1, 0, UInt8(padded & 255), UInt8(padded >> 8)] + text
            + [UInt8](repeating: UInt8(ascii: " "), count: padded - text.count - 1) + [UInt8(ascii: "\n")]
    }

    /// Throws an `InputError` that begins with `path` where the text isn't such a dictionary, or describes data that we
    /// don't read.
    init(text: String, path: String, _ elements: [NumPyElement]) throws {
        var parser = DictionaryParser(text: text)
        let entries: [String: DictionaryParser.Value]
        do { entries = try parser.dictionary() } catch {
            throw InputError(
                "\(path): header '\(text.prefix(100))' is not a dictionary with descr, fortran_order and shape")
        }
        guard case .string(let descriptor)? = entries["descr"], case .bool(let isFortran)? = entries["fortran_order"],
            case .tuple(let shape)? = entries["shape"]
        else { throw InputError("\(path): header '\(text.prefix(100))' lacks a simple descr, fortran_order or shape") }
        let isBigEndian = descriptor.hasPrefix(">")
        let spelling = isBigEndian ? "<" + descriptor.dropFirst() : descriptor
        guard let element = NumPyElement(rawValue: spelling), elements.contains(element) else {
            let takesAll = elements.count == NumPyElement.allCases.count
            let names = elements.map { "'\($0.rawValue)'" }
            let list = names.dropLast().joined(separator: ", ") + " or " + (names.last ?? "")
            throw InputError(
                "\(path): has elements of type '\(descriptor)', expected "
                    + "\(takesAll ? "real numbers of at most 64 bits" : list); "
                    + NumPyElement.advice(for: descriptor, elements))
        }
        guard !isFortran else {
            throw InputError("\(path): is in Fortran order, expected C order: save with numpy.ascontiguousarray(array)")
        }
        self.init(element: element, shape: shape)
        self.isBigEndian = isBigEndian
    }

    init(element: NumPyElement, shape: [Int]) {
        self.element = element
        self.shape = shape
    }
}

/// Reads a Python dictionary of strings, truth values and tuples of whole numbers.
private struct DictionaryParser {
    enum Value {
        case string(String)
        case bool(Bool)
        case tuple([Int])
    }

    struct Unexpected: Error {}

    private var rest: Substring

    init(text: String) { rest = text[...] }

    mutating func dictionary() throws -> [String: Value] {
        var entries: [String: Value] = [:]
        try expect("{")
        while !skip("}") {
            let key = try string()
            try expect(":")
            entries[key] = try value()
            if !skip(",") {
                try expect("}")
                break
            }
        }
        skipSpaces()
        guard rest.isEmpty else { throw Unexpected() }
        return entries
    }

    private mutating func value() throws -> Value {
        if skip("True") { return .bool(true) }
        if skip("False") { return .bool(false) }
        if skip("(") { return .tuple(try tuple()) }
        return .string(try string())
    }

    /// The numbers after the opening parenthesis.
    private mutating func tuple() throws -> [Int] {
        var numbers: [Int] = []
        while !skip(")") {
            skipSpaces()
            let digits = rest.prefix { $0.isASCII && $0.isNumber }
            guard let number = Int(digits) else { throw Unexpected() }
            rest = rest.dropFirst(digits.count)
            _ = skip("L")  // the suffix of long integers in Python 2
            numbers.append(number)
            if !skip(",") {
                try expect(")")
                break
            }
        }
        return numbers
    }

    private mutating func string() throws -> String {
        skipSpaces()
        guard let quote = rest.first, quote == "'" || quote == "\"",
            let end = rest.dropFirst().firstIndex(of: quote)
        else { throw Unexpected() }
        defer { rest = rest[rest.index(after: end)...] }
        return String(rest.dropFirst()[..<end])
    }

    private mutating func skip(_ token: String) -> Bool {
        skipSpaces()
        guard rest.hasPrefix(token) else { return false }
        rest = rest.dropFirst(token.count)
        return true
    }

    private mutating func expect(_ token: String) throws {
        guard skip(token) else { throw Unexpected() }
    }

    private mutating func skipSpaces() { rest = rest.drop { $0.isWhitespace } }
}
