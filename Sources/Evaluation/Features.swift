import Autodiff
import Collectives
import Tensors

/// Frozen features of a labelled set. Rank r holds the r-th consecutive share of its rows, possibly none.
///
/// Row i of the whole set has global index i at every world size. Random choices are keyed by it.
package struct Features {
    /// This rank's rows, [own rows, dimension], all finite.
    package let values: Tensor
    /// Labels of this rank's rows, in 0..<classes.
    package let labels: [Int]
    package let classes: Int
    /// Number of rows that each rank holds.
    package let shares: Shares
    /// The images of this rank's rows, where a probe may need them; present on all ranks or on none.
    package let pictures: Pictures?

    package var dimension: Int { values.shape[1] }
    /// Rows of all ranks.
    package var rows: Int { shares.total }
    /// Global index of this rank's first row.
    package var firstRow: Int { shares.first }

    /// Collective.
    /// - Parameters:
    ///   - values: this rank's rows, [own rows, dimension]; a rank without rows passes [0, dimension].
    ///   - labels: one for each own row.
    ///   - classes: number of classes, at least 1; the same on every rank.
    ///   - pictures: the images of the own rows, on all ranks or on none.
    /// - Throws: `InputError` where shapes disagree, a label is outside 0..<classes or a value isn't finite.
    package init(
        values: Tensor, labels: [Int], classes: Int, pictures: Pictures? = nil, ranks: any Ranks
    ) throws {
        let dimensions = try ranks.gather(values.shape.count == 2 ? values.shape[1] : 0)
        let classCounts = try ranks.gather(classes)
        let counts = try ranks.gather(labels.count)
        try ranks.agree {
            guard values.shape.count == 2, values.shape[1] > 0 else {
                throw InputError(
                    "features have shape \(values.shape): expected [rows, dimension] with a dimension above 0")
            }
            guard values.shape[0] == labels.count else {
                throw InputError(
                    "there are \(values.shape[0]) rows of features but \(labels.count) labels: each row needs one")
            }
            guard dimensions.allSatisfy({ $0 == values.shape[1] }), classCounts.allSatisfy({ $0 == classes }) else {
                throw InputError(
                    "ranks disagree: their features have dimensions \(dimensions) and classes \(classCounts)")
            }
            guard classes > 0 else { throw InputError("\(classes) classes: a labelled set needs at least 1") }
            if let row = labels.firstIndex(where: { !(0..<classes).contains($0) }) {
                throw InputError("row \(row) of this rank has label \(labels[row]): expected 0 to \(classes - 1)")
            }
            guard values.isFinite else {
                throw InputError("features hold NaN or infinity, so training diverged: use an earlier checkpoint")
            }
        }
        self.init(
            values: values, labels: labels, classes: classes, shares: Shares(counts: counts, rank: ranks.rank),
            pictures: pictures)
    }

    private init(values: Tensor, labels: [Int], classes: Int, shares: Shares, pictures: Pictures?) {
        self.values = values
        self.labels = labels
        self.classes = classes
        self.shares = shares
        self.pictures = pictures
    }

    /// Some of this rank's rows with their labels, without images. Rows get new global indices. Collective.
    /// - Parameter own: indices of this rank's rows, rising.
    package func rows(_ own: [Int], ranks: any Ranks, device: Device) throws -> Features {
        try Features(
            values: values.rows(own, device: device), labels: own.map { labels[$0] }, classes: classes, ranks: ranks)
    }

    /// The same rows, labels and images with other values, [own rows, any dimension].
    func replacing(values: Tensor) -> Features {
        precondition(values.shape.count == 2 && values.shape[0] == labels.count, "values of shape \(values.shape)")
        return Features(values: values, labels: labels, classes: classes, shares: shares, pictures: pictures)
    }

    /// Calls `body` with this rank's rows in order, at most `size` at a time.
    func forEachBlock(of size: Int = 1024, _ body: (_ rows: Range<Int>) throws -> Void) rethrows {
        for start in stride(from: 0, to: labels.count, by: size) {
            try body(start..<min(start + size, labels.count))
        }
    }
}

/// Throws an `InputError`, the same on every rank, unless a probe can be trained on one set and tested on the other.
func check(train: Features, test: Features) throws {
    guard train.rows > 0 && test.rows > 0 else {
        throw InputError(
            "there are \(train.rows) training and \(test.rows) test rows: a probe needs at least 1 of each")
    }
    guard train.dimension == test.dimension && train.classes == test.classes else {
        throw InputError(
            "training features have \(train.dimension) dimensions and \(train.classes) classes, but test features "
                + "have \(test.dimension) and \(test.classes): take both from the same encoder and data")
    }
}

extension Matrix {
    /// The column of each row's largest element among the first `count` columns; of equals, the first one.
    func largestColumns(of count: Int) -> [Int] {
        (0..<rows).map { r in
            let row = row(r)
            var best = 0
            for c in 1..<max(count, 1) where row[c] > row[best] { best = c }
            return best
        }
    }
}
