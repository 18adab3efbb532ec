import Foundation
import XCTest

/// The README and the manual name only what exists: links, files, options, and each method's settings as the program has
/// them.
final class ManualTests: CommandTestCase {
    private static let root = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// Options of other programs: mpirun, sbatch, podman, git, swift, apt.
    private static let foreignOptions: Set = [
        "--mca", "--prtemca", "--oversubscribe", "--bind-to", "--output-filename", "--timeout", "--nodes", "--ntasks",
        "--time", "--version", "--product",
    ]

    private struct Page {
        let url: URL
        let text: String
        var path: String { String(url.path.dropFirst(ManualTests.root.path.count + 1)) }
    }

    /// The README, the READMEs of targets, and all pages.
    private func pages() throws -> [Page] {
        let folders = ["", "launch", "Sources"].map { Self.root.appendingPathComponent($0) }
        var urls = try FileManager.default.contentsOfDirectory(at: folders[0], includingPropertiesForKeys: nil)
        for folder in folders[1...] {
            let files = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil)
            urls += files?.compactMap { $0 as? URL } ?? []
        }
        return try urls.filter { $0.pathExtension == "md" }.map {
            Page(url: $0.standardizedFileURL, text: try String(contentsOf: $0, encoding: .utf8))
        }
    }

    /// Matches of a pattern, or of its first group where it has one.
    private func matches(_ pattern: String, in text: String) throws -> [String] {
        let expression = try NSRegularExpression(pattern: pattern, options: [.anchorsMatchLines])
        let whole = NSRange(text.startIndex..., in: text)
        return expression.matches(in: text, range: whole).compactMap { match in
            Range(match.range(at: match.numberOfRanges - 1), in: text).map { String(text[$0]) }
        }
    }

    /// Headings as a forge names them in links: small letters, hyphens for spaces, nothing else but letters and digits.
    private func anchors(of text: String) throws -> Set<String> {
        let headings = try matches("^#+ (.*)$", in: text)
        return Set(
            headings.map { heading in
                String(
                    heading.lowercased().compactMap { character -> Character? in
                        if character == " " { return "-" }
                        return character.isLetter || character.isNumber || "-_".contains(character) ? character : nil
                    })
            })
    }

    func testThereAreAllPages() throws {
        let names = Set(try pages().map(\.path))
        XCTAssertGreaterThan(names.count, 25)
        for name in [
            "Data", "Encoders", "RunDirectory", "Failures", "Evaluation", "Estimation", "Clusters", "Debugging",
            "Results",
            "Speed", "Settings", "Contributing",
        ] { XCTAssert(names.contains("Sources/dim-dist/Manual.docc/\(name).md"), name) }
        let readme = try XCTUnwrap(pages().first { $0.path == "README.md" })
        XCTAssertLessThanOrEqual(readme.text.split(separator: "\n", omittingEmptySubsequences: false).count, 131)
    }

    func testLinksLeadSomewhere() throws {
        let pages = try pages()
        var count = 0
        for page in pages {
            for link in try matches("\\]\\(([^)]+)\\)", in: page.text) where !link.hasPrefix("http") {
                let parts = link.split(separator: "#", omittingEmptySubsequences: false).map(String.init)
                let folder = page.url.deletingLastPathComponent()
                let target = parts[0].isEmpty ? page.url : folder.appendingPathComponent(parts[0]).standardizedFileURL
                XCTAssert(FileManager.default.fileExists(atPath: target.path), "\(page.path): \(link)")
                if parts.count > 1, let text = pages.first(where: { $0.url == target })?.text {
                    XCTAssert(try anchors(of: text).contains(parts[1]), "\(page.path): no heading for \(link)")
                }
                count += 1
            }
        }
        XCTAssertGreaterThan(count, 50)
    }

    /// Files of the project that a page names, with or without a link. `*` stands for any.
    func testFilesExist() throws {
        var count = 0
        for page in try pages() {
            let pattern = "(?<![\\w./-])((?:Sources|Tests|launch)/[\\w./*+-]*[\\w*])"
            for name in try matches(pattern, in: page.text) where !name.contains("*") {
                let path = Self.root.appendingPathComponent(name).path
                XCTAssert(FileManager.default.fileExists(atPath: path), "\(page.path): \(name)")
                count += 1
            }
        }
        XCTAssertGreaterThan(count, 50)
    }

    /// Options that a page names are options of some command or script.
    func testOptionsExist() throws {
        var known = Self.foreignOptions
        let overview = try succeed(["--help"])
        for command in try matches("^  ([a-z]+(?: [a-z]+)?)  +[A-Z]", in: overview) {
            let help = try succeed(command.split(separator: " ").map(String.init) + ["--help"])
            known.formUnion(try matches("--[a-z][a-z-]*", in: help))
        }
        for folder in ["launch", "Tests"] {
            let folder = Self.root.appendingPathComponent(folder)
            for file in try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil) {
                // Of scripts: their head, which is their help.
                guard let text = try? String(contentsOf: file, encoding: .utf8), text.hasPrefix("#!") else { continue }
                let head = text.split(separator: "\n").prefix { $0.hasPrefix("#") }.joined(separator: "\n")
                known.formUnion(try matches("--[a-z][a-z-]*", in: head))
            }
        }
        let scripts = Self.root.appendingPathComponent("Tests/Reference")
        for file in try FileManager.default.contentsOfDirectory(at: scripts, includingPropertiesForKeys: nil)
        where file.pathExtension == "py" {
            known.formUnion(try matches("--[a-z][a-z-]*", in: try String(contentsOf: file, encoding: .utf8)))
        }
        XCTAssertGreaterThan(known.count, 60)
        var count = 0
        for page in try pages() {
            for option in try matches("(?<![\\w-])--[a-z][a-z-]*", in: page.text) {
                XCTAssert(known.contains(option), "\(page.path): \(option)")
                count += 1
            }
        }
        XCTAssertGreaterThan(count, 60)
    }

    /// `Tests/settings-page` writes the page.
    func testSettingsAreThoseOfTheProgram() throws {
        let page = try XCTUnwrap(pages().first { $0.path.hasSuffix("Manual.docc/Settings.md") }).text
        let first = try succeed(["train", "--method", "deepInfoMax", "--help"])
        let list = try XCTUnwrap(matches("^  method=.* one of (.*)$", in: first).first)
        let methods = list.components(separatedBy: ", ")
        XCTAssertGreaterThan(methods.count, 2)
        for method in methods {
            let help = try succeed(["train", "--method", method, "--help"])
            XCTAssert(page.contains("\n## \(method)\n\n```\n\(help)```\n"), "\(method): run Tests/settings-page")
            let name = method.prefix(1).uppercased() + method.dropFirst()
            let folder = "Sources/Methods/Methods.docc"
            let hasPage = try pages().contains {
                $0.path.lowercased() == "\(folder)/\(name).md".lowercased()
                    || $0.path.hasPrefix(folder) && $0.text.contains("\n## \(method)\n")
            }
            XCTAssert(hasPage, "\(method) has neither a page nor a section in \(folder)")
        }
    }
}
