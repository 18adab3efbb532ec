import Collectives

/// What is worth a word about an image file, beside its pixels.
enum ImageRemark: Int, CaseIterable, Sendable {
    case sixteenBits
    /// 16 bits, of which the upper four are 0.
    case twelveBits
    case transparent
    /// Or mirrored, but for us.
    case turned
    case animated
    /// Cyan, magenta, yellow and black.
    case inks
    /// Other pixels than version 1 of `Reading` made of it.
    case readOtherwiseByVersion1

    /// What is told of such files: `3 of 40 image files …`. nil for what is told only where it matters.
    fileprivate var note: String? {
        switch self {
        case .sixteenBits: "have 16 bits a value, of which the upper 8 are taken"
        case .twelveBits:
            "have 16 bits a value and none above 4095 (12-bit data?), so the upper 8 that are taken are all but black: "
                + "multiply the values in the files by 16"
        case .transparent: "are transparent in places, which are blended on black"
        case .turned: "are to be turned or mirrored by their EXIF orientation, which is not looked at"
        case .animated: "are animated, and only their still picture is taken"
        case .inks: "are CMYK, made RGB by simple products and not by their colour profile"
        case .readOtherwiseByVersion1: nil
        }
    }
}

/// How many image files there are with each remark, and one of them.
struct RemarkedFiles: Sendable {
    private var counts = [Int](repeating: 0, count: ImageRemark.allCases.count)
    /// Paths, in one line each.
    private var examples = [String](repeating: "", count: ImageRemark.allCases.count)

    mutating func add(_ remarks: Set<ImageRemark>, _ file: String) {
        for remark in remarks {
            if counts[remark.rawValue] == 0 { examples[remark.rawValue] = oneLine(file) }
            counts[remark.rawValue] += 1
        }
    }

    /// Of all ranks, with the first rank's examples that has some. Collective.
    func total(over ranks: any Ranks) throws -> RemarkedFiles {
        var result = self
        result.counts = try ranks.sum(counts)
        if result.counts.allSatisfy({ $0 == 0 }) { return result }
        let all = try ranks.gatherText(examples.joined(separator: "\n")).map {
            $0.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        }
        for place in examples.indices { result.examples[place] = all.map { $0[place] }.first { !$0.isEmpty } ?? "" }
        return result
    }

    /// A line for each remark, of so many image files.
    func notes(of count: Int) -> [String] {
        ImageRemark.allCases.compactMap { remark in remark.note.flatMap { phrase(remark, $0, of: count) } }
    }

    /// What earlier versions of reading read otherwise.
    func changes(of count: Int) -> [ReadingChange] {
        let what = "had other pixels (16 bits, half transparent, with a gAMA chunk, or colours to be made grey)"
        return phrase(.readOtherwiseByVersion1, what, of: count).map { [ReadingChange(since: 2, $0)] } ?? []
    }

    private func phrase(_ remark: ImageRemark, _ what: String, of count: Int) -> String? {
        let found = counts[remark.rawValue]
        return found == 0 ? nil : "\(found) of \(count) image files \(what); \(examples[remark.rawValue]) is one"
    }
}
