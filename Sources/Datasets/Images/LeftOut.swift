import Collectives

/// What a search for image files came across and left out. Paths are as they can be printed.
struct LeftOut {
    /// Files that aren't named like images: how many of which ending, in small letters; "" for none.
    var endings: [String: Int] = [:]
    /// Image files, and folders with some, whose names open with a dot.
    var hidden: [String] = []
    /// Folders without any image file in them or below.
    var barren: [String] = []
    /// Image files, and folders with some, whose names aren't UTF-8.
    var misnamed: [String] = []

    /// So many names are told.
    private static let told = 20

    mutating func add(_ other: LeftOut) {
        endings.merge(other.endings, uniquingKeysWith: +)
        hidden += other.hidden
        barren += other.barren
        misnamed += other.misnamed
    }

    /// A file that is used, although it is no image.
    mutating func take(ending: String) {
        endings[ending, default: 0] -= 1
        if endings[ending] == 0 { endings[ending] = nil }
    }

    /// A line about each kind.
    /// - Parameters:
    ///   - folder: which was searched.
    ///   - count: image files that were found.
    func notes(in folder: String, count: Int) -> [String] {
        var lines: [String] = []
        let others = endings.values.reduce(0, +)
        if others > 0 {
            let known = ImageDecoder.extensions.map { "." + $0 }.joined(separator: ", ")
            lines.append(
                "left out \(others) of \(count + others) files, whose names don't end in \(known): \(endingCounts)")
        }
        if !barren.isEmpty { lines.append("no image file in \(Self.list(barren, in: folder))") }
        if !hidden.isEmpty {
            lines.append("left out, for a dot opens their names: \(Self.list(hidden, in: folder))")
        }
        return lines.map { "\(oneLine(folder)): \($0)" }
    }

    /// `8 .bmp, 2 .webp`: the most frequent first.
    var endingCounts: String {
        let sorted = endings.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
        return Self.list(sorted.map { "\($0.value) \($0.key.isEmpty ? "without an ending" : ".\($0.key)")" })
    }

    /// Paths below a folder, by their names from there on.
    private static func list(_ paths: [String], in folder: String) -> String {
        let opening = oneLine(join(folder, ""))
        return list(paths.sorted(by: precedes).map { $0.hasPrefix(opening) ? String($0.dropFirst(opening.count)) : $0 })
    }

    /// The first of some words, and how many there are more.
    static func list(_ words: [String]) -> String {
        let more = words.count - told
        return words.prefix(told).joined(separator: ", ") + (more > 0 ? " and \(more) more" : "")
    }
}
