import Foundation
import Testing

/// Every parser takes what is valid, and what the fuzzer found or a cut made is taken or refused with one clear line.
@Suite(.serialized) struct CorpusTests {
    private static let names = Parser.all.keys.sorted()
    private static let corpus = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("Corpus").path

    private func parser(_ name: String) throws -> Parser { try #require(try Parser.all[name]?()) }

    @Test(arguments: names) func takesValidInputs(_ name: String) throws {
        let parser = try parser(name)
        #expect(!parser.seeds.isEmpty)
        for (seed, bytes) in parser.seeds {
            let outcome = try parser.outcome(of: bytes)
            #expect(outcome == .taken, "\(seed): \(outcome)")
        }
    }

    @Test(arguments: names) func refusesCutInputs(_ name: String) throws {
        let parser = try parser(name)
        var refused = 0
        for bytes in parser.seeds.values {
            for share in [0, 1, 2, 5, 9, 15] {
                if try parser.outcome(of: Array(bytes.prefix(bytes.count * share / 16))) != .taken { refused += 1 }
            }
        }
        // A journal with broken lines is read, without them.
        #expect(name == "journal" ? refused == 0 : refused > 0, "\(refused) refused")
    }

    @Test(arguments: names) func survivesWhatTheFuzzerFound(_ name: String) throws {
        let parser = try parser(name)
        let folder = Self.corpus + "/" + name
        let files = try FileManager.default.contentsOfDirectory(atPath: folder)
        #expect(!files.isEmpty)
        for file in files.sorted() {
            let input = try #require(FileManager.default.contents(atPath: folder + "/" + file))
            #expect(throws: Never.self, "\(file)") { try parser.outcome(of: [UInt8](input)) }
        }
    }

    @Test func noFolderWithoutParser() throws {
        #expect(try FileManager.default.contentsOfDirectory(atPath: Self.corpus).sorted() == Self.names)
    }
}
