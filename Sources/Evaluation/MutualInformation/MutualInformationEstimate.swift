import Tensors

/// What `MutualInformation` found, on rows that neither trained the critic nor chose among its states.
package struct MutualInformationEstimate: Sendable {
    /// The estimate: the bound of the critic on the test rows; -infinity where its scores can't be told there.
    package let nats: Double
    /// Of the bound over draws of the test rows, for the critic as trained or as scaled, whichever is larger;
    /// infinity where it can't be told. It says nothing on what a better critic would find.
    package let standardError: Double
    /// Above this the estimate can't come; nil for `smile`, which has no such limit.
    package let ceiling: Double?
    /// How many pairs of different rows carry their mean; nil for InfoNCE.
    package let effectivePairs: Double?
    /// The same bound on as many rows that the critic was trained on.
    package let trainingNats: Double
    /// Updates of the critic that was chosen.
    package let step: Int
    package let rows: RowCounts
    /// The value by nearest neighbours; nil where either side has too many columns for it.
    package let reference: NeighbourInformation?
    /// Why not to trust the estimate, a sentence each; empty where nothing speaks against it.
    package let warnings: [String]

    /// An estimate this near to what the estimator can say at most, in nats, is limited by it.
    private static let ceilingMargin = 1.0
    /// Fewer test rows say little, whatever the standard error.
    private static let fewTestRows = 200
    /// Fewer pairs that carry the mean make it, and its standard error, a matter of luck.
    private static let fewEffectivePairs = 50.0
    /// A bound that is larger on training rows by more than this share of it has been learned by heart.
    private static let overfitting = 0.2
    /// A critic whose bound is below this even on rows that it was trained on has diverged.
    private static let divergence = -0.5
    /// A reference that is higher by more than this, in nats, and by more than so many standard errors, speaks against a
    /// critic.
    private static let shortfall = 0.1, shortfallErrors = 3.0
    /// A state from before this share of the steps, after which validation rows lost more than so many nats at every rate,
    /// was on its way when training on these rows began to do harm.
    private static let early = 0.25, earlyFall = 0.05

    /// - Parameters:
    ///   - bound, unscaled: on the test rows, with the scores scaled and as they are.
    ///   - trained: bounds on rows that the critic was trained on, the second by the estimator's criterion.
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

    /// What nearest neighbours find and the critic doesn't.
    private static func shortfalls(
        _ nats: Double, _ standardError: Double, _ reference: NeighbourInformation?
    ) -> [String] {
        guard let reference, nats.isFinite, standardError.isFinite else { return [] }
        let error = (standardError * standardError + reference.standardError * reference.standardError).squareRoot()
        guard reference.nats - nats > max(shortfall, shortfallErrors * error) else { return [] }
        return [
            "too low: nearest neighbours, which know nothing of critics, find \(reference.nats.rounded2) nats; take "
                + "--estimator ksg, or help the critic by more --units, more --steps or another form of the columns"
        ]
    }

    /// What is wrong with the training.
    private static func faults(
        _ settings: MutualInformation, _ training: CriticTraining, hasDiverged: Bool
    ) -> [String] {
        var warnings: [String] = []
        if hasDiverged {
            let what = training.failures > 0 ? "steps undone: \(training.failures)" : "the critic's scores are wild"
            warnings.append("training diverged: \(what), and the value says little; lower --rate, now \(settings.rate)")
        }
        if !hasDiverged, Double(training.step) < early * Double(training.steps), training.fall > earlyFall {
            warnings.append(
                "best at step \(training.step) of \(training.steps): after it validation rows lost "
                    + "\(training.fall.rounded2) nats, at a lower rate too, as the critic learned its rows by heart; give "
                    + "more rows or fewer --units")
        }
        if training.isStillRising {
            warnings.append("still rising at the last of \(settings.steps) steps: raise --steps")
        }
        return warnings
    }

    /// What the estimator can't say, given so many rows.
    private static func limits(
        _ settings: MutualInformation, bound: MutualInformationBound, trainingRows: Int, testRows: Int
    ) -> [String] {
        let nats = bound.nats
        let batch = min(settings.batch, trainingRows)
        let candidates = min(settings.candidates, testRows)
        var warnings: [String] = []
        if let ceiling = bound.ceiling, nats > ceiling - ceilingMargin, settings.estimator != .infoNCE {
            warnings.append(
                "more than rows can tell: \(testRows) rows to report on and their pairs can't show more than "
                    + "\(ceiling.rounded2) nats, the logarithm of the pairs; give more rows")
        } else if let ceiling = bound.ceiling, nats > ceiling - ceilingMargin {
            warnings.append(
                "near the ceiling: infoNCE of \(candidates) candidates can't pass \(ceiling.rounded2) nats; "
                    + (testRows > settings.candidates ? "raise --candidates" : "give more rows"))
        }
        if settings.estimator == .infoNCE, nats > Double(batch).logarithm - ceilingMargin {
            warnings.append(
                "near the ceiling of training: a batch of \(batch) teaches infoNCE little beyond "
                    + "\(Double(batch).logarithm.rounded2) nats; "
                    + (batch < settings.batch ? "give more rows" : "raise --batch"))
        }
        if settings.estimator == .smile, nats > MutualInformationEstimator.clip {
            warnings.append(
                "near the ceiling: smile clips scores to \(MutualInformationEstimator.clip.rounded2) nats and may be too "
                    + "high above; compare infoNCE")
        }
        if settings.estimator != .smile, let effective = bound.effectivePairs {
            let pairs = Double(testRows) * Double(candidates - 1)
            let batchPairs = Double(batch) * Double(batch - 1)
            let cure = "the bound's variance grows as the exponential of its value; compare infoNCE and smile, or "
            if effective < min(fewEffectivePairs, pairs / 10) {
                warnings.append(
                    "near the ceiling: a mean over \(Int(pairs)) pairs is carried by \(Int(effective.rounded())): \(cure)"
                        + "give more rows")
            } else if settings.estimator != .jensenShannon, effective / pairs * batchPairs < fewEffectivePairs {
                warnings.append(
                    "near the ceiling of training: a mean over a batch's \(Int(batchPairs)) pairs is carried by "
                        + "\(Int((effective / pairs * batchPairs).rounded())): \(cure)raise --batch")
            }
        }
        return warnings
    }

    /// What so few rows can't say.
    /// - Parameter trainingNats: nil where training diverged, which the error then tells of rather than of the rows.
    private static func scarcity(
        _ nats: Double, _ standardError: Double, trainingNats: Double?, _ trainingRows: Int, testRows: Int
    ) -> [String] {
        var warnings: [String] = []
        if testRows < fewTestRows {
            warnings.append("too few rows: only \(testRows) to report on, \(trainingRows) to train on")
        } else if trainingNats != nil, standardError > max(0.05, 0.1 * abs(nats)) {
            warnings.append("too few rows: the standard error is \(standardError.rounded2) nats")
        }
        if let trainingNats, trainingNats - nats > max(0.1, overfitting * nats) {
            warnings.append(
                "too few rows: the bound is \(trainingNats.rounded2) nats on rows that the critic was trained on; more rows "
                    + "would bring them together")
        }
        return warnings
    }
}

/// How many rows an estimate had, over all ranks.
package struct RowCounts: Sendable {
    package var training: Int, validation: Int, test: Int
    /// Of all, rows that are copies of others.
    package var copies = 0
    /// By how much copies among the test rows make a standard error too small that takes rows for independent.
    var errorFactor = 1.0
    /// What was made of the columns, a line each.
    package var notes: [String] = []

    package var total: Int { training + validation + test }

    /// What copies mean for the value, a sentence; empty where there are none.
    var warnings: [String] {
        guard copies > 0 else { return [] }
        return [
            "equal rows: \(copies) of \(total) are copies of others, in x and in y; copies were kept in the same part of the "
                + "split, but an estimate wants rows that were drawn independently"
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
    /// Of as many rows as other estimators are compared with.
    package let reference: NeighbourInformation
    package let rows: RowCounts

    /// Why not to trust it, a sentence each.
    package var warnings: [String] {
        let different = rows.total - rows.copies
        let left =
            found.rows < different
            ? ["of \(different) different rows \(found.rows) were taken, by chance: more would take too long"] : []
        return left + rows.warnings
    }
}

extension Double {
    /// With two decimals, for a sentence.
    var rounded2: Double { (self * 100).rounded() / 100 }
}
