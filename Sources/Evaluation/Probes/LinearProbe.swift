import Collectives
import Foundation
import Tensors

/// A linear classifier of standardised features. The penalty is the one that is best on held-out training rows, or, of
/// few rows, by cross-validation.
package struct LinearProbe {
    /// Logistic regression, or the support vector machine of the published evaluation.
    package let loss: LinearLoss
    /// Penalties to try in this order, each from the solution of the one before. The largest comes first, because its
    /// problem is the easiest. Two in a row that are no better end the search.
    package var penalties = [1, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6]
    /// Fraction of the training rows that are held out to choose the penalty.
    package var heldOutFraction: Float = 0.1
    /// With fewer training rows than this, the penalty is chosen by cross-validation: each fold is held out once.
    package var fewRows = 1000
    /// Number of folds, at least 2.
    package var folds = 5
    var minimiser = MinimiserSettings()

    package init(_ loss: LinearLoss = .logistic) { self.loss = loss }

    package struct Result {
        /// Fraction of the test rows that are classified correctly, in 0...1.
        package let accuracy: Double
        /// The penalty chosen.
        package let penalty: Double
        /// Steps of the minimiser, over all fits.
        package let iterations: Int
        /// Notes on the accuracy.
        package let notes: [String]
    }

    /// Collective; the same on every rank.
    /// - Parameter seed: chooses the held-out rows.
    package func callAsFunction(
        train: Features, test: Features, seed: UInt64, ranks: any Ranks, device: Device,
        progress: (String) -> Void = { _ in }
    ) throws -> Result {
        try check(train: train, test: test)
        try checkMemory(train, ranks: ranks)
        let standardisation = try Standardisation(of: train, ranks: ranks, device: device)
        let (parts, heldOut, remark) = try split(train, standardisation, seed: seed, ranks, device)
        let counts = try ranks.sum(parts.map(\.labels.count))

        let start = LinearClassifier.start(dimension: train.dimension, classes: train.classes)
        var best = (penalty: penalties[0], variables: start, correct: -1)
        var iterations = 0
        // Fits without one part, whose rows they are judged by. A set that is too small for any gets the largest penalty.
        let judges = heldOut.filter { 0 < counts[$0] && counts[$0] < train.rows }
        let selections = try judges.map { part in
            try classifier(on: parts.indices.filter { $0 != part }.map { parts[$0] }, of: train, ranks, device)
        }
        if !selections.isEmpty {
            let rows = judges.reduce(0) { $0 + counts[$1] }
            var variables = judges.map { _ in start }
            var worse = 0
            for penalty in penalties where worse < 2 {
                var own = 0
                var steps = 0
                for (index, selection) in selections.enumerated() {
                    let fit = try selection.minimum(from: variables[index], penalty: penalty, settings: minimiser)
                    variables[index] = fit.variables
                    steps += fit.iterations
                    own += try selection.correct(of: parts[judges[index]], with: fit.variables)
                }
                iterations += steps
                let correct = try ranks.sum([own])[0]
                worse = correct > best.correct ? 0 : worse + 1
                if worse == 0 { best = (penalty, variables[0], correct) }
                progress("penalty \(penalty), \(correct) of \(rows) held-out rows correct after \(steps) steps")
            }
        }
        let whole = try classifier(on: parts, of: train, ranks, device)
        let fit = try whole.minimum(from: best.variables, penalty: best.penalty, settings: minimiser)

        var correct = 0
        let scratch = device.tensor([1024, test.dimension])
        try test.forEachBlock(of: 1024) { rows in
            let block = scratch.view(from: 0, shape: [rows.count, test.dimension])
            standardisation.apply(to: test.values.matrix[rows: rows], into: block.matrix)
            correct += try whole.correct(
                of: LabelledRows(values: block, labels: Array(test.labels[rows])), with: fit.variables)
        }
        let cut = "the last fit was stopped after \(minimiser.iterations) steps, before it converged"
        return Result(
            accuracy: Double(try ranks.sum([correct])[0]) / Double(test.rows), penalty: best.penalty,
            iterations: iterations + fit.iterations,
            notes: [remark, fit.isOutOfSteps ? cut : nil].compactMap { $0 })
    }

    /// Standardised copies of this rank's rows in parts, the numbers of the parts that are held out in turn, and a note
    /// where none can be. Collective.
    private func split(
        _ train: Features, _ standardisation: Standardisation, seed: UInt64, _ ranks: any Ranks, _ device: Device
    ) throws -> (parts: [LabelledRows], heldOut: [Int], remark: String?) {
        guard train.rows < fewRows else {
            let chosen = HeldOutRows(fraction: heldOutFraction, seed: seed)
            let isHeldOut = train.labels.indices.map { chosen.contains(train.firstRow + $0) }
            let parts = [false, true].map { held in
                standardisation.rows(of: train, device: device) { isHeldOut[$0] == held }
            }
            return (parts, [1], chosen.remark(rows: train.rows))
        }
        let chosen = try Folds(of: train, most: folds, seed: seed, ranks: ranks)
        let parts = (0..<folds).map { fold in
            standardisation.rows(of: train, device: device) { chosen.own[$0] == fold }
        }
        let remark = "no class has two training rows with a label, so the penalty wasn't chosen: it is \(penalties[0])"
        return (parts, Array(0..<chosen.count), chosen.count == 0 ? remark : nil)
    }

    /// Copies of a classifier's variables, as doubles, that the minimiser and this probe hold at a time. Most are the
    /// minimiser's history of ten steps and ten gradients. Each fold has a classifier and a solution.
    private func copies(rows: Int) -> Double { 32 + (rows < fewRows ? 3 * Double(folds) : 0) }

    /// Throws, on all ranks, where fitting this number of classes takes more than half the memory of a rank's machine.
    /// Collective.
    private func checkMemory(_ train: Features, ranks: any Ranks) throws {
        let sharing = Double(try ranks.ranksOfThisMachine())
        let bytes = 8 * copies(rows: train.rows) * Double(train.classes) * Double(train.dimension + 1) * sharing
        let memory = Double(ProcessInfo.processInfo.physicalMemory)
        try ranks.agree {
            guard bytes <= memory / 2 else {
                throw InputError(
                    "fitting \(train.classes) classes of \(train.dimension) features takes "
                        + "\(String(format: "%.1f", bytes / 1e9)) GB, more than half of the machine's "
                        + "\(String(format: "%.1f", memory / 1e9)) GB: choose a narrower layer, or leave linear and "
                        + "svm out")
            }
        }
    }

    private func classifier(
        on parts: [LabelledRows], of features: Features, _ ranks: any Ranks, _ device: Device
    ) throws -> LinearClassifier {
        try LinearClassifier(
            loss, parts, dimension: features.dimension, classes: features.classes, ranks: ranks, device: device)
    }
}

extension Standardisation {
    /// A standardised copy of this rank's rows for which `isWanted`.
    func rows(of features: Features, device: Device, where isWanted: (Int) -> Bool) -> LabelledRows {
        let wanted = features.labels.indices.filter(isWanted)
        let values = features.values.rows(wanted, device: device)
        apply(to: values.matrix, into: values.matrix)
        return LabelledRows(values: values, labels: wanted.map { features.labels[$0] })
    }
}
