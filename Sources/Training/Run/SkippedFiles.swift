import Foundation

/// Image files that were left out: a line about each, which opens with its path.
package struct SkippedFiles {
    private let lines: [String]
    /// Images that stayed.
    private let kept: Int

    /// So many are told, all are listed.
    private static let told = 5

    package init(_ lines: [String], kept: Int) {
        self.lines = lines
        self.kept = kept
    }

    /// Tells how many and which, and lists all in a file; without any, removes a list that an earlier run left there.
    /// For one rank.
    package func report(listing file: String, tell: (String) -> Void) {
        guard !lines.isEmpty else {
            try? FileManager.default.removeItem(atPath: file)
            return
        }
        let summary = "left out \(lines.count) of \(lines.count + kept) images"
        do {
            try DurableFile.replace(file, by: Data((lines.joined(separator: "\n") + "\n").utf8))
            tell("\(summary), listed in \(file)")
        } catch {
            // All are told, for there is no list.
            tell("\(summary): \(error)")
            for line in lines { tell("left out \(line)") }
            return
        }
        for line in lines.prefix(Self.told) { tell("left out \(line)") }
        if lines.count > Self.told { tell("left out \(lines.count - Self.told) more") }
    }
}
