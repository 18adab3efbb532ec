import Collectives

/// A property of an image file that is worth a remark to the user.
enum ImageRemark: Int, CaseIterable, Sendable {
    case sixteenBits
    /// 16 bits, of which the upper four are 0.
    case twelveBits
    case transparent
    /// EXIF says to rotate or mirror it, which is ignored.
    case turned
    case animated
    /// Cyan, magenta, yellow and black.
    case inks
    /// Its pixels differ from those of version 1 of `Reading`.
    case readOtherwiseByVersion1

    /// The note on files with the remark: `3 of 40 image files …`. nil for a remark that is noted only where it
    /// matters.
    fileprivate var note: String? {
        switch self {
        case .sixteenBits: "have 16 bits for each value, of which the upper 8 are used"
        case .twelveBits:
            "have 16 bits for each value but none above 4095 (12-bit data?); the upper 8 bits, which are used, are "
                + "nearly black: multiply the values in the files by 16"
        case .transparent: "have transparent parts, which are blended with black"
        case .turned: "have an EXIF orientation that rotates or mirrors them, which is ignored"
        case .animated: "are animated, and only their still picture is used"
        case .inks: "are CMYK, and are converted to RGB by simple products, without their colour profile"
        case .readOtherwiseByVersion1: nil
        }
    }
}

/// The number of image files with each remark, and an example.
struct RemarkedFiles: Sendable {
    private var counts = [Int](repeating: 0, count: ImageRemark.allCases.count)
    /// Paths of the examples, in one line each.
    private var examples = [String](repeating: "", count: ImageRemark.allCases.count)

    mutating func add(_ remarks: Set<ImageRemark>, _ file: String) {
        for remark in remarks {
            if counts[remark.rawValue] == 0 { examples[remark.rawValue] = oneLine(file) }
            counts[remark.rawValue] += 1
        }
    }

    mutating func add(_ others: RemarkedFiles) {
        for index in counts.indices {
            if counts[index] == 0 { examples[index] = others.examples[index] }
            counts[index] += others.counts[index]
        }
    }

    /// The remarks of all ranks, each with the example of the lowest rank that has one. Collective.
    func total(over ranks: any Ranks) throws -> RemarkedFiles {
        var result = self
        result.counts = try ranks.sum(counts)
        if result.counts.allSatisfy({ $0 == 0 }) { return result }
        let all = try ranks.gatherText(examples.joined(separator: "\n")).map {
            $0.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        }
        for index in examples.indices { result.examples[index] = all.map { $0[index] }.first { !$0.isEmpty } ?? "" }
        return result
    }

    /// A line for each remark, for `count` image files.
    func notes(of count: Int) -> [String] {
        ImageRemark.allCases.compactMap { remark in remark.note.flatMap { phrase(remark, $0, of: count) } }
    }

    /// Changes since earlier versions of reading.
    func changes(of count: Int) -> [ReadingChange] {
        let what = "had other pixels (16 bits, partly transparent, with a gAMA chunk, or converted to grey)"
        return phrase(.readOtherwiseByVersion1, what, of: count).map { [ReadingChange(since: 2, $0)] } ?? []
    }

    private func phrase(_ remark: ImageRemark, _ what: String, of count: Int) -> String? {
        let found = counts[remark.rawValue]
        return found == 0 ? nil : "\(found) of \(count) image files \(what); an example is \(examples[remark.rawValue])"
    }
}
