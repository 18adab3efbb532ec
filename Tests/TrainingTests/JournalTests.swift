import Foundation
import Testing

@testable import Training

struct JournalTests {
    private struct Line: Codable {
        let step: Int
        var name = "a/b"
    }

    private func steps(_ folder: TemporaryFolder) throws -> [Int] {
        try folder.read("metrics.jsonl").split(separator: "\n").map {
            try JSONDecoder().decode(Line.self, from: Data($0.utf8)).step
        }
    }

    @Test func appendsOneLineAtATime() throws {
        let folder = try TemporaryFolder()
        let journal = try Journal(run: folder.path, from: 0)
        try journal.note(Line(step: 1))
        #expect(try folder.read("metrics.jsonl") == "{\"name\":\"a/b\",\"step\":1}\n")  // there at once
        try journal.note(Line(step: 2))
        #expect(try steps(folder) == [1, 2])
    }

    @Test func dropsLaterStepsOnResume() throws {
        let folder = try TemporaryFolder()
        let first = try Journal(run: folder.path, from: 0)
        for step in 1...5 { try first.note(Line(step: step)) }
        let second = try Journal(run: folder.path, from: 3)
        #expect(try steps(folder) == [1, 2, 3])
        try second.note(Line(step: 4))
        #expect(try steps(folder) == [1, 2, 3, 4])
    }

    @Test(arguments: ["{\"step\":4,\"na", "{", "\u{FFFD}{\"step\":4}", "\0\0\0\0", ""])
    func survivesALastLineThatIsBroken(_ end: String) throws {
        let folder = try TemporaryFolder()
        try folder.write("metrics.jsonl", "{\"step\":1,\"name\":\"\"}\n{\"step\":3,\"name\":\"\"}\n" + end)
        let journal = try Journal(run: folder.path, from: 7)
        try journal.note(Line(step: 8))
        #expect(try steps(folder) == [1, 3, 8])
        #expect(journal.brokenLines == (end.isEmpty ? 0 : 1))
    }

    /// A line that isn't UTF-8 must not remove the others.
    @Test func survivesBytesThatAreNoText() throws {
        let folder = try TemporaryFolder()
        let bytes = Data("{\"step\":1,\"name\":\"\"}\n".utf8) + [0xFF, 0xFE, 0x0A]
        try bytes.write(to: URL(fileURLWithPath: folder.path + "/metrics.jsonl"))
        _ = try Journal(run: folder.path, from: 7)
        #expect(try steps(folder) == [1])
    }

    /// A second program that adds lines, such as `eval`, leaves those of the run that is training on.
    @Test func addingKeepsAllLines() throws {
        let folder = try TemporaryFolder()
        let run = try Journal(run: folder.path, from: 0)
        for step in 1...3 { try run.note(Line(step: step)) }
        let other = try Journal(run: folder.path, from: nil)
        try other.note(Line(step: 1))
        try run.note(Line(step: 4))
        try other.note(Line(step: 1))
        #expect(try steps(folder) == [1, 2, 3, 1, 4, 1])
    }

    @Test func addingBehindACutLineStartsANewOne() throws {
        let folder = try TemporaryFolder()
        try folder.write("metrics.jsonl", "{\"step\":1,\"name\":\"\"}\n{\"st")
        try Journal(run: folder.path, from: nil).note(Line(step: 2))
        #expect(try folder.read("metrics.jsonl").hasSuffix("\n{\"st\n{\"name\":\"a/b\",\"step\":2}\n"))
    }

    /// A disk that stays full: training goes on, and hears of it.
    @Test func aFullDiskIsNoError() throws {
        let folder = try TemporaryFolder()
        try FileManager.default.createSymbolicLink(
            atPath: folder.path + "/metrics.jsonl", withDestinationPath: "/dev/full")
        let journal = try Journal(run: folder.path, from: nil)
        #expect(journal.problem == nil)
        for step in 1...2 {
            try journal.note(Line(step: step))
            #expect(journal.problem?.contains("metrics.jsonl: No space left") == true)
        }
    }

    @Test func aMissingFolderIsAnError() throws {
        let folder = try TemporaryFolder()
        #expect(throws: FileError.self) { try Journal(run: folder.path + "/none", from: 0) }
    }
}
