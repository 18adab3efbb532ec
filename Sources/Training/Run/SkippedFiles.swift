import Foundation

/// Image files that were left out: a line about each, which begins with its path.
package struct SkippedFiles {
    private let lines: [String]
    /// Number of images that were kept.
    private let kept: Int

    /// Number of files that are reported. All are listed.
    private static let mostReported = 5

    package init(_ lines: [String], kept: Int) {
        self.lines = lines
        self.kept = kept
    }

    /// Reports how many files were left out and names some, and lists all in a file. Without any, removes the list of
    /// an earlier run. For one rank.
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
            // All are reported, because there is no list.
            tell("\(summary): \(error)")
            for line in lines { tell("left out \(line)") }
            return
        }
        for line in lines.prefix(Self.mostReported) { tell("left out \(line)") }
        if lines.count > Self.mostReported { tell("left out \(lines.count - Self.mostReported) more") }
    }
}
