import Foundation
import Testing

@testable import Training

struct JSON5KeysTests {
    /// Foundation's reader keeps one of the two.
    @Test func findsAKeyHoweverItIsWritten() throws {
        let cases: [(text: String, name: String, first: Int, second: Int)] = [
            ("{ a: 1, a: 2 }", "a", 1, 1),
            ("{\n a: 1,\n 'a': 2,\n}", "a", 2, 3),
            ("{ \"it's\": 1, \"it's\": [] }", "it's", 1, 1),
            ("{a:{b:1},c:{b:2,d:{},\nb:3}}", "c.b", 1, 2),
            ("{ a: { x: 1 }, a: { y: 1 } }", "a", 1, 1),
            ("{ blocks: [{ k: 1 }, { k: 1, p: [1, 2], k: 2 }] }", "blocks.k", 1, 1),
            ("/* a: 1,\n*/ { // a: 2\n a: 'b: 1', /**/ a /*,*/ : 3 }", "a", 3, 3),
            ("{ a: 'x\\\ny',\nb: 1, a: 2 }", "a", 1, 3),
            ("[[{ a: 1 }, { a: 1, a: 1 }]]", "a", 1, 1),
            ("{ a: true, b: null, $c_1: -1e5, a: .5 }", "a", 1, 1),
        ]
        for (text, name, first, second) in cases {
            do {
                try JSON5Keys.check(Data(text.utf8))
                Issue.record("nothing found: \(text)")
            } catch let found as RepeatedKey {
                #expect(found.name == name, "\(text)")
                #expect(found.lines == (first, second), "\(text)")
            }
        }
    }

    @Test(arguments: [
        "{}", "1", "'a: 1, a: 2'", "[1, 1, 'a', 'a']", "{ a: 'a', b: \"a: 1, a\" }",
        "{ a: { a: { a: 1 } }, b: { a: 1 } }",
        "{ a: 1, /* a: 2, */ b: 2 // a: 3\n, A: 4 }", "{ a: ['a', 'a', { a: 1 }, { a: 1 }], 'a ': 1, }",
        "{ a: '\\'', b: '/*' }",
    ])
    func findsNoneWhereThereIsNone(_ text: String) throws {
        try JSON5Keys.check(Data(text.utf8))
        _ = try JSONValue.parse(Data(text.utf8))
    }

    /// Reading a malformed text ends.
    @Test(arguments: ["", "{", "}", "]{", "{ a: 1, a", "{ 'a", "{ a: 1, 'a\\", "/", "/*", "/*/", "{ a /", "//", ",:"])
    func comesToAnEnd(_ text: String) throws {
        try JSON5Keys.check(Data(text.utf8))
    }
}
