import Foundation
import Testing

@testable import Training

struct JSONValueTests {
    private func parse(_ text: String) throws -> JSONValue { try JSONValue.parse(Data(text.utf8)) }

    @Test func readsJSON5() throws {
        let value = try parse(
            """
            // a comment
            { plain: 1, 'single': -2, "double": 2.5, /* another */ on: true, off: false, none: null,
              hexadecimal: 0x10, list: [1, 'a', [],], inner: { deep: {} }, exponent: 2e-4, }
            """)
        #expect(
            value
                == .object([
                    "plain": .integer(1), "single": .integer(-2), "double": .number(2.5), "on": .boolean(true),
                    "off": .boolean(false), "none": .null, "hexadecimal": .integer(16),
                    "list": .array([.integer(1), .string("a"), .array([])]),
                    "inner": .object(["deep": .object([:])]), "exponent": .number(2e-4),
                ]))
        #expect(try parse("9007199254740993") == .integer(9_007_199_254_740_993))  // 2^53 + 1: not through Double
        #expect(try parse("'true'") == .string("true"))
    }

    /// Beyond 2^63, where Double holds only every 2048th.
    @Test func wholeNumbersAreReadAsSuch() throws {
        #expect(try parse("9223372036854775807") == .integer(.max))
        #expect(try parse("-9223372036854775808") == .integer(.min))
        for number in [1 << 63, 1 << 63 + 1, 1 << 63 + 1024, UInt64.max - 1, .max] as [UInt64] {
            #expect(try parse("\(number)") == .unsigned(number))
            #expect(try parse("{ seed: \(number) }").text == "{\"seed\":\(number)}")
            #expect(try JSONValue.parse(JSONEncoder().encode(parse("\(number)"))) == .unsigned(number))
            #expect(try JSONValue(of: ["seed": number]) == .object(["seed": .unsigned(number)]))
        }
        #expect(try parse("18446744073709551616") == .number(0x1p64))
    }

    /// Foundation's own reader would read digits after the text in memory, and crash.
    @Test func numbersEndWhereTheTextDoes() throws {
        let data = Data("18446744073709551616777 0.5777".utf8)
        #expect(try JSONValue.parse(data.prefix(20)) == .number(0x1p64))
        #expect(try JSONValue.parse(data.suffix(6).prefix(3)) == .number(0.5))
    }

    @Test(arguments: ["", "{", "{ a: }", "{ a: 1 b: 2 }", "[1, 2", "nothing", "{} {}", "1 2"])
    func refusesWhatIsNoJSON5(_ text: String) {
        #expect(throws: DecodingError.self) { try parse(text) }
    }

    /// Foundation's own reader would crash.
    @Test func refusesWhatIsNoText() {
        for bytes in [[0x7B, 0x80, 0x61, 0x3A, 0x31, 0x7D], [0xFF], [0x7B, 0xC3]] as [[UInt8]] {
            #expect(throws: DecodingError.self) { try JSONValue.parse(Data(bytes)) }
        }
    }

    /// That of Swift 6.0 would crash over some of these.
    @Test(arguments: [
        "{ 'a\u{1}': 1 }", "{ \"a\nb\": 1 }", "{ 'a\\q': 1 }", "{ 'a\\u0000': 1 }", "{ a: 1, \"b: 2\n}\":",
    ])
    func refusesKeysThatNoSettingHas(_ text: String) {
        #expect(throws: DecodingError.self) { try parse(text) }
    }

    @Test(arguments: ["{ a: '\\n\\u0041', 'b:b': { a: 2 }, c: ['a:', { a: 1 }, { a: 2 }], /* a: */ d: 'd:\\'' // a:\n}"]
    )
    func takesKeysThatOnlyLookRepeated(_ text: String) throws {
        #expect(try parse(text).members.count == 4)
    }

    /// JSON5 has these, but nothing here can be set to them, and JSON can't write them down.
    @Test(arguments: ["NaN", "Infinity", "-Infinity", "{ a: NaN }", "1e999"])
    func refusesNumbersThatAreNotFinite(_ text: String) {
        #expect(throws: DecodingError.self) { try parse(text) }
    }

    @Test func writesWhatItReads() throws {
        let value = try parse("{ a: [1, 2.5, 'x', null, true], b: { c: {} } }")
        #expect(try JSONValue.parse(JSONEncoder().encode(value)) == value)
    }

    @Test func overlaysLeaves() throws {
        let base = try parse("{ a: 1, b: { c: 2, d: { e: 3 } }, f: [1, 2] }")
        let result = try base.overlaid(with: parse("{ b: { d: { e: 'new' } }, f: [] }"))
        #expect(try result == parse("{ a: 1, b: { c: 2, d: { e: 'new' } }, f: [] }"))
        #expect(try base.overlaid(with: parse("{}")) == base)
        #expect(
            try base.overlaid(with: .leaf("b.c", .integer(7))) == parse("{ a: 1, b: { c: 7, d: { e: 3 } }, f: [1, 2] }")
        )
    }

    @Test func namesTheNearestKnownKey() throws {
        let base = try parse("{ batch: 1, steps: 2, optimiser: { rate: 3, beta1: 4 } }")
        expectInputError("unknown setting bach", "did you mean batch?") {
            try base.overlaid(with: parse("{ bach: 1 }"))
        }
        expectInputError("unknown setting optimiser.rat", "did you mean optimiser.rate?") {
            try base.overlaid(with: parse("{ optimiser: { rat: 1 } }"))
        }
        expectInputError("unknown setting Steps", "did you mean steps?") {
            try base.overlaid(with: parse("{ Steps: 1 }"))
        }
        expectInputError("unknown setting ", "did you mean") { try base.overlaid(with: .leaf("", .null)) }
    }

    @Test func aTreeIsNotALeaf() throws {
        let base = try parse("{ optimiser: { rate: 3, beta1: 4 } }")
        expectInputError("setting optimiser must be an object", "beta1, rate") {
            try base.overlaid(with: .leaf("optimiser", .integer(1)))
        }
        expectInputError("must be an object", "optimiser") { try base.overlaid(with: .array([])) }
    }

    @Test func leafBuildsATree() {
        #expect(JSONValue.leaf("a", .null) == .object(["a": .null]))
        #expect(
            JSONValue.leaf("a.b.c", .integer(1)) == .object(["a": .object(["b": .object(["c": .integer(1)])])]))
        #expect(JSONValue.leaf("a..b", .null) == .object(["a": .object(["": .object(["b": .null])])]))
    }

    @Test func differencesAreSortedPaths() throws {
        let a = try parse("{ x: 1, y: { z: 2, w: 3 }, v: [1] }")
        let b = try parse("{ x: 1, y: { z: 4, w: 3 }, v: [2], extra: 0 }")
        #expect(a.differences(from: b) == ["extra", "v", "y.z"])
        #expect(b.differences(from: a) == ["extra", "v", "y.z"])
        #expect(a.differences(from: a) == [])
        #expect(a.differences(from: try parse("{ x: 1, y: 2, v: [1] }")) == ["y"])
    }

    @Test func valueAtAPath() throws {
        let tree = try parse("{ a: { b: 5 } }")
        #expect(tree.value(at: "a.b") == .integer(5))
        #expect(tree.value(at: "") == tree)
        #expect(tree.value(at: "a.c") == .null)
        #expect(tree.value(at: "a.b.c") == .null)
    }

    @Test(
        arguments: [
            ("", "", 0), ("abc", "", 3), ("", "ab", 2), ("kitten", "sitting", 3), ("flaw", "lawn", 2), ("a", "b", 1),
        ])
    func distanceIsLevenshteins(_ a: String, _ b: String, _ edits: Int) {
        #expect(a.distance(to: b) == edits)
        #expect(b.distance(to: a) == edits)
    }
}
