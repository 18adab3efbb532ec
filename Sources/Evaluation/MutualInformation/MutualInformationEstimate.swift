import Tensors

/// The result of `MutualInformation`, on rows that neither trained the critic nor chose among its states.
package struct MutualInformationEstimate: Sendable {
    /// The estimate: the bound of the critic on the test rows; -infinity where it can't be computed.
    package let nats: Double
    /// Standard error of the bound over draws of the test rows, for the critic as trained or as scaled, whichever is
    /// larger; infinity where it can't be computed. It says nothing about a better critic.
    package let standardError: Double
    /// The highest possible estimate; nil for `smile`, which has no limit.
    package let ceiling: Double?
    /// Effective number of pairs of different rows in their mean; nil for InfoNCE.
    package let effectivePairs: Double?
    /// The same bound on as many training rows.
    package let trainingNats: Double
    /// Number of updates of the chosen critic.
    package let step: Int
    package let rows: RowCounts
    /// The value by nearest neighbours; nil where a side has too many columns for it.
    package let reference: NeighbourInformation?
    /// Reasons not to trust the estimate, a sentence each; empty where there are none.
    package let warnings: [String]

    /// An estimate this near to the estimator's ceiling, in nats, is limited by it.
    private static let ceilingMargin = 1.0
    /// Fewer test rows than this are too few, at any standard error.
    private static let fewTestRows = 200
    /// With fewer effective pairs, the mean and its standard error depend on luck.
    private static let fewEffectivePairs = 50.0
    /// A bound that is larger on training rows by more than this fraction means that the critic has memorised them.
    private static let overfitting = 0.2
    /// A critic whose bound is below this, even on training rows, has diverged.
    private static let divergence = -0.5
    /// A reference that is higher by more than this many nats, and by more than this many standard errors, is a reason
    /// not to trust the critic.
    private static let shortfall = 0.1, shortfallErrors = 3.0
    /// If the best state came before this fraction of the steps, and validation rows then lost more than this many nats
    /// at every rate, training was harmful early.
    private static let early = 0.25, earlyFall = 0.05

    /// - Parameters:
    ///   - bound, unscaled: bounds on the test rows, with the scores scaled and as they are.
    ///   - trained: bounds on training rows, the second by the estimator's criterion.
    init(
        settings: MutualInformation, bound: MutualInformationBound, unscaled: MutualInformationBound,
        trained: (scaled: Double, unscaled: Double), training: CriticTraining, rows: RowCounts,
        reference: NeighbourInformation?
    ) {
        nats = bound.nats
        standardError = max(bound.standardError, unscaled.standardError) * rows.errorFactor
        ceiling = bound.ceiling
        effectivePairs = bound.effectivePairs
        trainingNats = trained.scaled
        step = training.step
        self.rows = rows
        self.reference = reference
        let onTrained = min(trained.unscaled, training.lastTrainingNats)
        let hasDiverged = training.failures > 0 || !bound.nats.isFinite || onTrained < Self.divergence
        warnings =
            Self.limits(settings, bound: bound, trainingRows: rows.training, testRows: rows.test)
            + Self.scarcity(
                bound.nats, standardError, trainingNats: hasDiverged ? nil : trainingNats, rows.training,
                testRows: rows.test)
            + Self.faults(settings, training, hasDiverged: hasDiverged)
            + Self.shortfalls(bound.nats, standardError, reference) + rows.warnings
    }

    /// A warning where nearest neighbours find more than the critic.
    private static func shortfalls(
        _ nats: Double, _ standardError: Double, _ reference: NeighbourInformation?
    ) -> [String] {
        guard let reference, nats.isFinite, standardError.isFinite else { return [] }
        let error = (standardError * standardError + reference.standardError * reference.standardError).squareRoot()
        guard reference.nats - nats > max(shortfall, shortfallErrors * error) else { return [] }
        return [
            "too low: nearest neighbours, without a critic, find \(reference.nats.rounded2) nats; use --estimator "
                + "ksg, or help the critic by more --units, more --steps or another form of the columns"
        ]
    }

    /// Warnings about the training.
    private static func faults(
        _ settings: MutualInformation, _ training: CriticTraining, hasDiverged: Bool
    ) -> [String] {
        var warnings: [String] = []
        if hasDiverged {
            let reason =
                training.failures > 0
                ? "\(training.failures) steps were undone"
                : "the critic's scores are far too large"
            warnings.append(
                "training diverged: \(reason), so the value says little; lower --rate, now \(settings.rate)")
        }
        if !hasDiverged, Double(training.step) < early * Double(training.steps), training.fall > earlyFall {
            warnings.append(
                "best at step \(training.step) of \(training.steps): after it validation rows lost "
                    + "\(training.fall.rounded2) nats, even at a lower rate, because the critic memorised its "
                    + "training rows; give more rows or fewer --units")
        }
        if training.isStillRising {
            warnings.append("still rising at the last of \(settings.steps) steps: raise --steps")
        }
        return warnings
    }

    /// Warnings about limits of the estimator, with this number of rows.
    private static func limits(
        _ settings: MutualInformation, bound: MutualInformationBound, trainingRows: Int, testRows: Int
    ) -> [String] {
        let nats = bound.nats
        let batch = min(settings.batch, trainingRows)
        let candidates = min(settings.candidates, testRows)
        var warnings: [String] = []
        if let ceiling = bound.ceiling, nats > ceiling - ceilingMargin, settings.estimator != .infoNCE {
            warnings.append(
                "too few rows for this value: \(testRows) test rows and their pairs can't show more than "
                    + "\(ceiling.rounded2) nats, the logarithm of the number of pairs; give more rows")
        } else if let ceiling = bound.ceiling, nats > ceiling - ceilingMargin {
            warnings.append(
                "near the ceiling: infoNCE with \(candidates) candidates can't exceed \(ceiling.rounded2) nats; "
                    + (testRows > settings.candidates ? "raise --candidates" : "give more rows"))
        }
        if settings.estimator == .infoNCE, nats > Double(batch).logarithm - ceilingMargin {
            warnings.append(
                "near the ceiling of training: with batches of \(batch) infoNCE learns little beyond "
                    + "\(Double(batch).logarithm.rounded2) nats; "
                    + (batch < settings.batch ? "give more rows" : "raise --batch"))
        }
        if settings.estimator == .smile, nats > MutualInformationEstimator.clip {
            warnings.append(
                "near the ceiling: smile clips scores to \(MutualInformationEstimator.clip.rounded2) nats and may be "
                    + "too high above that; compare with infoNCE")
        }
        if settings.estimator != .smile, let effective = bound.effectivePairs {
            let pairs = Double(testRows) * Double(candidates - 1)
            let batchPairs = Double(batch) * Double(batch - 1)
            let cure = "the bound's variance grows exponentially with its value; compare with infoNCE and smile, or "
            if effective < min(fewEffectivePairs, pairs / 10) {
                warnings.append(
                    "near the ceiling: a mean over \(Int(pairs)) pairs depends on only \(Int(effective.rounded())): "
                        + "\(cure)give more rows")
            } else if settings.estimator != .jensenShannon, effective / pairs * batchPairs < fewEffectivePairs {
                warnings.append(
                    "near the ceiling of training: a mean over a batch's \(Int(batchPairs)) pairs depends on only "
                        + "\(Int((effective / pairs * batchPairs).rounded())): \(cure)raise --batch")
            }
        }
        return warnings
    }

    /// Warnings about too few rows.
    /// - Parameter trainingNats: nil where training diverged: then the standard error says nothing about the rows.
    private static func scarcity(
        _ nats: Double, _ standardError: Double, trainingNats: Double?, _ trainingRows: Int, testRows: Int
    ) -> [String] {
        var warnings: [String] = []
        if testRows < fewTestRows {
            warnings.append("too few rows: only \(testRows) test rows and \(trainingRows) training rows")
        } else if trainingNats != nil, standardError > max(0.05, 0.1 * abs(nats)) {
            warnings.append("too few rows: the standard error is \(standardError.rounded2) nats")
        }
        if let trainingNats, trainingNats - nats > max(0.1, overfitting * nats) {
            warnings.append(
                "too few rows: the bound is \(trainingNats.rounded2) nats on training rows; with more rows the two "
                    + "would be closer")
        }
        return warnings
    }
}

/// Number of rows of an estimate, over all ranks.
package struct RowCounts: Sendable {
    package var training: Int, validation: Int, test: Int
    /// Rows that are copies of others, in all parts.
    package var copies = 0
    /// The factor by which copies among the test rows make a standard error too small that assumes independent rows.
    var errorFactor = 1.0
    /// Notes on conversions of the columns, a line each.
    package var notes: [String] = []

    package var total: Int { training + validation + test }

    /// A warning about copies; empty where there are none.
    var warnings: [String] {
        guard copies > 0 else { return [] }
        return [
            "equal rows: \(copies) of \(total) are copies of others, in x and in y; copies are kept in the same part "
                + "of the split, but the estimate assumes rows that were drawn independently"
        ]
    }
}

extension RowCounts {
    init(_ rows: PairedRows) {
        self.init(
            training: rows.training.count, validation: rows.validation.count, test: rows.test.count,
            copies: rows.equal.copies, errorFactor: rows.equal.errorFactor(of: rows.test), notes: rows.notes)
    }
}

/// The value by nearest neighbours alone.
package struct NeighbourEstimate: Sendable {
    package let found: NeighbourInformation
    /// The value from as many rows as serve as reference for other estimators.
    package let reference: NeighbourInformation
    package let rows: RowCounts

    /// Reasons not to trust it, a sentence each.
    package var warnings: [String] {
        let different = rows.total - rows.copies
        let left =
            found.rows < different
            ? [
                "only \(found.rows) of \(different) different rows were used, chosen at random, because more would "
                    + "take too long"
            ] : []
        return left + rows.warnings
    }
}

extension Double {
    /// With two decimals, for a sentence.
    var rounded2: Double { (self * 100).rounded() / 100 }
}
