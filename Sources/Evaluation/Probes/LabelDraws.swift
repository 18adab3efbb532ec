import Collectives
import Tensors

/// Draws of the training rows that keep their labels: what few labels are worth depends on which ones. They are the
/// same at every world size.
///
/// Each row has a random number, keyed by the seed and the row. A class gives its rows with the least numbers. So the
/// rows of a small count are among those of a larger one with the same seed.
package struct LabelDraws {
    /// Global indices of the rows of each class that has any, rising.
    private let classes: [[Int]]
    /// Global indices of this rank's rows.
    private let own: Range<Int>

    /// Collective.
    /// - Parameter labels: class numbers of this rank's training rows, in 0..<classes.
    package init(labels: [Int], classes: Int, ranks: any Ranks) throws {
        let counts = try ranks.gather(labels.count)
        let first = counts[..<ranks.rank].reduce(0, +)
        own = first..<first + labels.count
        var rows = [[Int]](repeating: [], count: classes)
        for (row, label) in try ranks.gather(labels.map { Int32($0) }, filler: 0).enumerated() {
            rows[Int(label)].append(row)
        }
        self.classes = rows.filter { !$0.isEmpty }
    }

    /// This rank's rows of a draw, counted from its first, rising.
    package func ownRows(_ count: LabelCount, seed: UInt64) -> [Int] {
        let drawn = classes.flatMap { rows in
            let keyed = rows.map { row in
                var stream = RandomStream(seed: seed, purpose: .labels, sample: row)
                return (key: stream.next(), row: row)
            }
            return keyed.sorted { $0 < $1 }.prefix(count.size(of: rows.count)).map(\.row)
        }
        return drawn.filter { own.contains($0) }.sorted().map { $0 - own.lowerBound }
    }

    /// Number of rows of a draw, over all ranks.
    package func rows(_ count: LabelCount) -> Int { classes.reduce(0) { $0 + count.size(of: $1.count) } }

    /// - Parameter option: names the option in the message.
    /// - Throws: `InputError` where no class has so many rows, or each has less than one.
    package func check(_ count: LabelCount, option: String) throws {
        let largest = classes.map(\.count).max() ?? 0
        let wanted = count.wanted(of: largest)
        if wanted > largest {
            throw InputError(
                "\(option) is \(count), but no class has so many training images with a label: the largest has "
                    + "\(largest), so give at most \(largest)")
        }
        if wanted == 0 {
            throw InputError(
                "\(option) is \(count), which is less than one training image of each class: the largest has "
                    + "\(largest), so give more, or a number of labels a class")
        }
    }

    /// A note where classes give another number of rows than was asked for; usually nil.
    package func remark(_ count: LabelCount) -> String? {
        let others = classes.filter { count.wanted(of: $0.count) != count.size(of: $0.count) }
        guard let smallest = others.map(\.count).min() else { return nil }
        let some = "\(others.count) of \(classes.count) classes"
        switch count {
        case .perClass(let rows):
            return "@\(count): \(some) have fewer than \(rows) training images with a label, the smallest \(smallest), "
                + "so all of theirs are used"
        case .percent:
            return "@\(count): \(some) have too few training images for \(count), the smallest \(smallest), so each "
                + "gives one"
        }
    }
}
