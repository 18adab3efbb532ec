import Autodiff
import Collectives
import Tensors

/// Rows of x and of y that belong together, cut at random into rows to train on, to choose by and to report on.
///
/// Rank r holds the r-th consecutive part of them, possibly none. The cut depends on the seed and not on the ranks.
struct PairedRows {
    /// This rank's rows, [n, Dx] and [n, Dy], columns with outliers as normal scores.
    let x: Tensor, y: Tensor
    /// How many rows each rank holds.
    let shares: Shares
    /// Places in the whole set.
    let training, validation, test: ArraySlice<Int32>
    /// Of the training rows; leaves normal scores as they are.
    private let xScale, yScale: Standardisation

    /// Fewer would leave a handful to report on.
    static let fewest = 100

    /// Collective.
    /// - Parameter heldOut: share of the rows not trained on, in 0.1...0.9: a third to choose by, the rest to report on.
    /// - Throws: `InputError` where x and y don't fit together, are too few, don't vary or hold what isn't finite.
    init(x: Tensor, y: Tensor, heldOut: Double, seed: UInt64, ranks: any Ranks, device: Device) throws {
        let counts = try ranks.gather(x.shape[0])
        let widths = try [ranks.gather(x.shape[1]), ranks.gather(y.shape[1])]
        try ranks.agree {
            guard x.shape[0] == y.shape[0] else {
                throw InputError("x has \(x.shape[0]) rows and y \(y.shape[0]): give each row of x its row of y")
            }
            guard widths.allSatisfy({ $0.allSatisfy { $0 > 0 } && Set($0).count == 1 }) else {
                throw InputError("x has \(widths[0]) columns and y \(widths[1]) by rank: expected equal ones above 0")
            }
            for (name, values) in [("x", x), ("y", y)] where !values.isFinite {
                throw InputError("\(name) holds NaN or infinity: drop those rows first")
            }
        }
        let shares = Shares(counts: counts, rank: ranks.rank)
        try ranks.agree {
            guard (Self.fewest...Int(Int32.max)).contains(shares.total) else {
                throw InputError(
                    "\(shares.total) rows: an estimate needs at least \(Self.fewest), at most \(Int32.max)")
            }
        }
        var stream = RandomStream(seed: seed, purpose: .validationSplit)
        let order = stream.permutation(of: shares.total)
        let held = Int(heldOut * Double(shares.total))
        validation = order[..<(held / 3)]
        test = order[(held / 3)..<held]
        training = order[held...]
        let own = Draw(training, held: shares).ownRows
        let count = training.count
        func prepare(_ name: String, _ values: Tensor) throws -> (Tensor, Standardisation) {
            let scale = try Standardisation(of: values, ownRows: own, ranks: ranks, device: device)
            let scores = try NormalScores(of: values, ownRows: own, scale: scale, ranks: ranks, device: device)
            try ranks.agree {
                guard !scale.isConstant || !scores.isConstant else {
                    throw InputError(
                        "the \(count) of \(shares.total) rows of \(name) that are trained on are all the same, to one part "
                            + "in a million: what doesn't vary has no mutual information")
                }
            }
            return (scores.applied(to: values, device: device), scale.leaving(scores.columns))
        }
        (self.x, xScale) = try prepare("x", x)
        (self.y, yScale) = try prepare("y", y)
        self.shares = shares
    }

    /// This rank's rows among those, standardised, in the order of the data.
    func draw(_ rows: some Sequence<Int32>, device: Device) -> (x: Tensor, y: Tensor, shares: Shares) {
        let drawn = Draw(rows, held: shares)
        let (x, y) = (x.rows(drawn.ownRows, device: device), y.rows(drawn.ownRows, device: device))
        xScale.apply(to: x.matrix, into: x.matrix)
        yScale.apply(to: y.matrix, into: y.matrix)
        return (x, y, drawn.shares)
    }
}
