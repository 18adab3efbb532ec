import Collectives

/// Files and folders that a search for image files left out. Paths are in printable form.
struct LeftOut {
    /// Number of files that aren't named like images, by ending, in small letters; "" for no ending.
    var endings: [String: Int] = [:]
    /// Image files, and folders with some, whose names begin with a dot.
    var hidden: [String] = []
    /// Folders without image files, at any depth.
    var barren: [String] = []
    /// Image files, and folders with some, whose names aren't UTF-8.
    var misnamed: [String] = []

    /// Number of names in a note.
    private static let mostNames = 20

    mutating func add(_ other: LeftOut) {
        endings.merge(other.endings, uniquingKeysWith: +)
        hidden += other.hidden
        barren += other.barren
        misnamed += other.misnamed
    }

    /// Removes a file that is used, although it is not an image.
    mutating func take(ending: String) {
        endings[ending, default: 0] -= 1
        if endings[ending] == 0 { endings[ending] = nil }
    }

    /// A line about each kind.
    /// - Parameters:
    ///   - folder: the folder that was searched.
    ///   - count: number of image files that were found.
    func notes(in folder: String, count: Int) -> [String] {
        var lines: [String] = []
        let others = endings.values.reduce(0, +)
        if others > 0 {
            let known = ImageDecoder.extensions.map { "." + $0 }.joined(separator: ", ")
            lines.append(
                "left out \(others) of \(count + others) files, whose names don't end in \(known): \(endingCounts)")
        }
        if !barren.isEmpty { lines.append("found no image file in \(Self.list(barren, in: folder))") }
        if !hidden.isEmpty {
            lines.append("left out names that begin with a dot: \(Self.list(hidden, in: folder))")
        }
        return lines.map { "\(oneLine(folder)): \($0)" }
    }

    /// `8 .bmp, 2 .webp`: the most frequent first.
    var endingCounts: String {
        let sorted = endings.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
        return Self.list(sorted.map { "\($0.value) \($0.key.isEmpty ? "without an ending" : ".\($0.key)")" })
    }

    /// Paths in a folder, without the folder's own path.
    private static func list(_ paths: [String], in folder: String) -> String {
        let opening = oneLine(join(folder, ""))
        return list(paths.sorted(by: precedes).map { $0.hasPrefix(opening) ? String($0.dropFirst(opening.count)) : $0 })
    }

    /// The first few words, and the number of others.
    static func list(_ words: [String]) -> String {
        let more = words.count - mostNames
        return words.prefix(mostNames).joined(separator: ", ") + (more > 0 ? " and \(more) more" : "")
    }
}
