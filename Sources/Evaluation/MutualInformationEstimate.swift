import Tensors

/// What `MutualInformation` found, on rows that neither trained the critic nor chose among its states.
package struct MutualInformationEstimate: Sendable {
    /// The estimate: the bound of the critic on the test rows.
    package let nats: Double
    /// Of the bound over draws of the test rows, for the critic as trained or as scaled, whichever is larger. It says
    /// nothing on what a better critic would find.
    package let standardError: Double
    /// Above this the estimate can't come; nil where there is no such limit.
    package let ceiling: Double?
    /// How many pairs of different rows carry their mean; nil for InfoNCE.
    package let effectivePairs: Double?
    /// The same bound on as many rows that the critic was trained on.
    package let trainingNats: Double
    /// Updates of the critic that was chosen.
    package let step: Int
    package let trainingRows: Int, validationRows: Int, testRows: Int
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

    init(
        settings: MutualInformation, bound: MutualInformationBound, unscaled: MutualInformationBound,
        trainingNats: Double, step: Int, trainingRows: Int, validationRows: Int, testRows: Int
    ) {
        nats = bound.nats
        standardError = max(bound.standardError, unscaled.standardError)
        ceiling = bound.ceiling
        effectivePairs = bound.effectivePairs
        self.trainingNats = trainingNats
        self.step = step
        self.trainingRows = trainingRows
        self.validationRows = validationRows
        self.testRows = testRows
        warnings =
            Self.limits(settings, bound: bound, trainingRows: trainingRows, testRows: testRows)
            + Self.scarcity(self.nats, standardError, trainingNats: trainingNats, trainingRows, testRows: testRows)
    }

    /// What the estimator can't say, given so many rows.
    private static func limits(
        _ settings: MutualInformation, bound: MutualInformationBound, trainingRows: Int, testRows: Int
    ) -> [String] {
        let nats = bound.nats
        let batch = min(settings.batch, trainingRows)
        let candidates = min(settings.candidates, testRows)
        var warnings: [String] = []
        if let ceiling = bound.ceiling, nats > ceiling - ceilingMargin {
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
    private static func scarcity(
        _ nats: Double, _ standardError: Double, trainingNats: Double, _ trainingRows: Int, testRows: Int
    ) -> [String] {
        var warnings: [String] = []
        if testRows < fewTestRows {
            warnings.append("too few rows: only \(testRows) to report on, \(trainingRows) to train on")
        } else if standardError > max(0.05, 0.1 * abs(nats)) {
            warnings.append("too few rows: the standard error is \(standardError.rounded2) nats")
        }
        if trainingNats - nats > max(0.1, overfitting * nats) {
            warnings.append(
                "too few rows: the bound is \(trainingNats.rounded2) nats on rows that the critic was trained on; more rows "
                    + "would bring them together")
        }
        return warnings
    }
}

extension Double {
    /// With two decimals, for a sentence.
    fileprivate var rounded2: Double { (self * 100).rounded() / 100 }
}
