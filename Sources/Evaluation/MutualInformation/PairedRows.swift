import Autodiff
import Collectives
import Tensors

/// Rows of x and of y that belong together, split at random into training, validation and test rows.
///
/// Rank r holds the r-th consecutive share of them, possibly none. The split depends on the seed, not on the ranks.
struct PairedRows {
    /// This rank's rows, [n, Dx] and [n, Dy]; columns with outliers are normal scores.
    let x: Tensor, y: Tensor
    /// Number of rows that each rank holds.
    let shares: Shares
    /// Indices in the whole set. Equal rows are in the same part, side by side.
    let training, validation, test: ArraySlice<Int32>
    let equal: EqualRows
    let xColumns, yColumns: CriticColumns
    /// Notes on conversions of the columns, a line each.
    let notes: [String]
    /// The critic's start; nil where there is none.
    private(set) var gaussian: GaussianScore?
    /// Standardisation by the training rows; it leaves normal scores as they are.
    private let xScale, yScale: Standardisation

    /// Fewest rows; with fewer, too few test rows would be left.
    static let fewest = 100
    /// Most training rows to which the Gaussian is fitted.
    private static let gaussianRows = 20_000

    /// Collective.
    /// - Parameter heldOut: fraction of the rows that are not trained on, in 0.1...0.9: a third for validation, the
    ///   rest for the test.
    /// - Throws: `InputError` where x and y don't fit together, have too few rows, don't vary or hold values that
    ///   aren't finite.
    init(x: Tensor, y: Tensor, heldOut: Double, seed: UInt64, ranks: any Ranks, device: Device) throws {
        let shares = try Self.check(x: x, y: y, ranks: ranks)
        var stream = RandomStream(seed: seed, purpose: .validationSplit)
        let order = stream.permutation(of: shares.total)
        let held = Int(heldOut * Double(shares.total))
        xColumns = try CriticColumns(of: x, totalRows: shares.total, ranks: ranks)
        yColumns = try CriticColumns(of: y, totalRows: shares.total, ranks: ranks)
        let equal = try EqualRows(x: x, y: y, areLabels: xColumns.areLabels && yColumns.areLabels, ranks: ranks)
        try ranks.agree {
            guard shares.total - equal.copies >= Self.fewest else {
                throw InputError(
                    "only \(shares.total - equal.copies) of \(shares.total) rows differ: an estimate needs at least "
                        + "\(Self.fewest) different rows")
            }
        }
        let together = equal.together(order)
        let (first, second) = (equal.start(at: held / 3, of: together), equal.start(at: held, of: together))
        validation = together[..<first]
        test = together[first..<second]
        training = together[second...]
        let own = Draw(training, held: shares).ownRows
        let count = training.count
        try ranks.agree {
            guard count >= 2, first >= 2, second - first >= 2 else {
                throw InputError(
                    "equal rows leave \(count) training, \(first) validation and \(second - first) test rows, and "
                        + "each needs 2: remove the copies, or change --held-out")
            }
        }
        var notes: [String] = []
        func prepare(_ name: String, _ values: Tensor, _ columns: CriticColumns) throws -> (Tensor, Standardisation) {
            let scale = try Standardisation(of: values, ownRows: own, ranks: ranks, device: device)
            let scores = try NormalScores(
                of: values, ownRows: own, scale: scale, except: columns.labels.map(\.column), ranks: ranks,
                device: device)
            try ranks.agree {
                guard !scale.isConstant || !scores.isConstant else {
                    throw InputError(
                        "the \(count) training rows (of \(shares.total)) of \(name) are all the same, to one part in "
                            + "a million: a constant has no mutual information")
                }
            }
            if !scores.columns.isEmpty {
                notes.append(
                    "\(name): \(scores.columns.count) of \(columns.columns) columns have outliers or a heavy tail; "
                        + "their values are replaced by ranks")
            }
            if !columns.labels.isEmpty {
                let values = columns.labels.reduce(0) { $0 + $1.values.count }
                notes.append(
                    "\(name): \(columns.labels.count) of \(columns.columns) columns hold few values, \(values) in "
                        + "total, and are also used as labels")
            }
            return (scores.applied(to: values, device: device), scale.leaving(scores.columns))
        }
        (self.x, xScale) = try prepare("x", x, xColumns)
        (self.y, yScale) = try prepare("y", y, yColumns)
        self.shares = shares
        self.equal = equal
        self.notes = notes
    }

    /// Number of rows that each rank holds. Throws where x and y don't fit together or can't be used. Collective.
    private static func check(x: Tensor, y: Tensor, ranks: any Ranks) throws -> Shares {
        let counts = try ranks.gather(x.shape[0])
        let widths = try [ranks.gather(x.shape[1]), ranks.gather(y.shape[1])]
        try ranks.agree {
            guard x.shape[0] == y.shape[0] else {
                throw InputError("x has \(x.shape[0]) rows but y has \(y.shape[0]): each row of x needs its row of y")
            }
            guard widths.allSatisfy({ $0.allSatisfy { $0 > 0 } && Set($0).count == 1 }) else {
                throw InputError(
                    "by rank, x has \(widths[0]) columns and y has \(widths[1]): each must be above 0 "
                        + "and the same on all ranks")
            }
            for (name, values) in [("x", x), ("y", y)] where !values.isFinite {
                throw InputError("\(name) holds NaN or infinity: remove those rows first")
            }
        }
        let shares = Shares(counts: counts, rank: ranks.rank)
        try ranks.agree {
            guard (fewest...Int(Int32.max)).contains(shares.total) else {
                throw InputError(
                    "there are \(shares.total) rows: an estimate needs at least \(fewest) and at most \(Int32.max)")
            }
        }
        return shares
    }

    /// This rank's rows among these, standardised, in the order of the data.
    private func standardised(
        _ rows: some Sequence<Int32>, device: Device
    ) -> (x: (given: Tensor, standardised: Tensor), y: (given: Tensor, standardised: Tensor), shares: Shares) {
        let drawn = Draw(rows, held: shares)
        func take(_ values: Tensor, _ scale: Standardisation) -> (given: Tensor, standardised: Tensor) {
            let given = values.rows(drawn.ownRows, device: device)
            let standardised = device.tensor(given.shape)
            scale.apply(to: given.matrix, into: standardised.matrix)
            return (given, standardised)
        }
        return (take(x, xScale), take(y, yScale), drawn.shares)
    }

    /// This rank's rows among these as a critic's inputs, in the order of the data.
    func draw(_ rows: some Sequence<Int32>, device: Device) throws -> PairedBatch {
        let (x, y, shares) = standardised(rows, device: device)
        let xInputs = xColumns.inputs(x.given, standardised: x.standardised, device: device)
        let yInputs = yColumns.inputs(y.given, standardised: y.standardised, device: device)
        let factors = try gaussian?.factors(
            x: xInputs.matrix[columns: 0..<xColumns.linearWidth], y: yInputs.matrix[columns: 0..<yColumns.linearWidth],
            device: device)
        return PairedBatch(x: xInputs, y: yInputs, gaussian: factors, shares: shares)
    }

    /// Fits the Gaussian from which a critic starts. Collective.
    mutating func fitGaussian(ranks: any Ranks, device: Device) throws {
        func linear(_ rows: some Sequence<Int32>) -> (x: Tensor, y: Tensor) {
            let (x, y, _) = standardised(rows, device: device)
            return (
                xColumns.inputs(x.given, standardised: x.standardised, linearOnly: true, device: device),
                yColumns.inputs(y.given, standardised: y.standardised, linearOnly: true, device: device)
            )
        }
        guard max(xColumns.linearWidth, yColumns.linearWidth) <= GaussianScore.mostColumns else { return }
        gaussian = try GaussianScore(
            training: linear(training.prefix(Self.gaussianRows)), validation: linear(validation), ranks: ranks,
            device: device)
    }

    /// Scales the Gaussian's score, or removes it where the factor is 0.
    mutating func scaleGaussian(by factor: Double) {
        gaussian?.strength *= factor
        if factor == 0 { gaussian = nil }
    }

    /// Whether there are few enough columns for nearest neighbours.
    var suitNeighbours: Bool { max(x.shape[1], y.shape[1]) <= NeighbourInformation.mostColumns }

    /// The value by nearest neighbours, from some of the rows, without copies. Collective.
    /// - Parameter most: most rows.
    func neighbourInformation(most: Int, ranks: any Ranks, device: Device) throws -> NeighbourInformation {
        let rows = equal.unique(validation + test + training).prefix(most)
        let (x, y, shares) = standardised(rows, device: device)
        return try NeighbourInformation(
            x: ranks.gatherRows(x.standardised, shares: shares, device: device),
            y: ranks.gatherRows(y.standardised, shares: shares, device: device), ranks: ranks)
    }
}

/// This rank's rows of a batch, as a critic's inputs.
struct PairedBatch {
    /// [n, inputs of the side]
    let x: Tensor, y: Tensor
    let gaussian: GaussianScore.Factors?
    /// Number of rows of the batch that each rank has.
    let shares: Shares
}
