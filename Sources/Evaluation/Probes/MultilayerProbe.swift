import Autodiff
import Collectives
import Layers
import Tensors

/// A classifier with one hidden layer of 200 units, batch norm and dropout, as in the publication of Deep InfoMax.
/// Features are standardised.
///
/// A tenth of the training rows is held out at first. Their accuracy chooses the rate, the weight decay and the number
/// of epochs. Then the classifier is trained with all rows.
package struct MultilayerProbe {
    /// Units of the hidden layer.
    package var hiddenUnits = 200
    /// Fraction of the hidden units set to 0 in training, in 0..<1.
    package var dropoutRate: Float = 0.1
    /// Rows of a batch, over all ranks.
    package var batch = 64
    /// Most passes over the training rows; more if they have fewer than `leastSteps` updates.
    package var epochs = 14
    /// The search for the best number of epochs ends after this many epochs in a row that weren't better.
    package var patience = 14
    /// Fewest updates, in the search and in the last training. A small set has more passes.
    package var leastSteps = 1000
    /// Learning rates at the start. The best is chosen.
    package var rates = [1e-4, 3e-4, 1e-3]
    /// Decoupled weight decays. The best is chosen.
    package var decays = [0.03, 0.3, 3]
    /// Epochs after which the rate is divided by 10, of `epochs`; in proportion where there are more.
    package var milestones = [10]
    /// Fraction of the training rows that are held out to choose by. With 0, all rows train for all epochs, at the
    /// first rate and decay.
    package var heldOutFraction: Float = 0.1

    /// The published probe: Adam at 1e-4, divided by 10 after 50 and 100 of 110 epochs. A network memorises frozen
    /// features in the end, so held-out rows choose the number of epochs here too.
    package static var published: MultilayerProbe {
        var probe = MultilayerProbe()
        (probe.rates, probe.decays) = ([1e-4], [0])
        (probe.epochs, probe.patience, probe.milestones) = (110, 30, [50, 100])
        return probe
    }

    package init() {}

    /// Notes on the accuracy, for a number of training rows.
    func notes(trainingRows rows: Int, seed: UInt64) -> [String] {
        HeldOutRows(fraction: heldOutFraction, seed: seed).remark(rows: rows).map { [$0] } ?? []
    }

    /// Fraction of the test rows that are classified correctly, in 0...1. Collective; the same on every rank.
    /// - Parameter seed: sets the start, the order of the rows, the dropout and which rows are held out.
    package func callAsFunction(
        train: Features, test: Features, seed: UInt64, ranks: any Ranks, device: Device,
        progress: (String) -> Void = { _ in }
    ) throws -> Double {
        try check(train: train, test: test)
        guard hiddenUnits >= 1 && (0..<1).contains(dropoutRate) && batch >= 1 && epochs >= 1,
            let firstRate = rates.first,
            let firstDecay = decays.first, rates.allSatisfy({ $0 > 0 }), decays.allSatisfy({ $0 >= 0 })
        else {
            throw InputError(
                "MLP probe with \(hiddenUnits) units, dropout \(dropoutRate), batch \(batch), \(epochs) epochs, rates "
                    + "\(rates) and decays \(decays): they must be at least 1, from 0 to below 1, at least 1, at "
                    + "least 1, above 0 and at least 0"
            )
        }
        let held = HeldOutRows(fraction: heldOutFraction, seed: seed)
        let fitted = (0..<train.rows).filter { !held.contains($0) }
        let heldOutCount = train.rows - fitted.count
        let ownHeldOut = train.labels.indices.filter { held.contains(train.firstRow + $0) }
        let standardisation = try Standardisation(of: train, ranks: ranks, device: device)

        let batches = train.rows / min(batch, train.rows)  // of an epoch of all rows
        let leastEpochs = (leastSteps + batches - 1) / batches
        let mostEpochs = max(epochs, leastEpochs)
        let milestones = milestones.map { $0 * mostEpochs / epochs }

        /// Trains a new classifier. After each epoch `goesOn` says whether to continue.
        func fit(
            _ rows: [Int], rate: Double, decay: Double, epochs: Int,
            goesOn: (_ epochs: Int, Classifier) throws -> Bool = { _, _ in true }
        ) throws -> Classifier {
            let declarations = Declarations()
            let classifier = Classifier(
                declarations, inputs: train.dimension, hidden: hiddenUnits, classes: train.classes,
                dropoutRate: dropoutRate, seed: seed)
            let parameters = ParameterSet(declarations, device: device, seed: seed)
            let training = ProbeTraining(
                name: "MLP probe", features: train, standardisation: standardisation, rows: rows.map { Int32($0) },
                seed: seed, ranks: ranks, device: device)
            let batchesPerEpoch = rows.count / min(batch, rows.count)
            try training(
                parameters, batch: batch, steps: epochs * batchesPerEpoch,
                rate: { step in milestones.reduce(rate) { step / batchesPerEpoch >= $1 ? $0 / 10 : $0 } },
                decay: decay, progress: progress, goesOn: { try goesOn($0, classifier) },
                loss: { batch in
                    let logits = try classifier(
                        batch.tape, batch.x, step: batch.step, samples: batch.rows.map { train.firstRow + $0 })
                    return batch.tape.crossEntropy(logits, labels: batch.rows.map { train.labels[$0] })
                })
            return classifier
        }
        func correct(_ classifier: Classifier, of features: Features, _ rows: [Int]) throws -> Int {
            try ranks.sum([try classifier.correct(of: features, rows: rows, standardisation, device: device)])[0]
        }

        var best = (rate: firstRate, decay: firstDecay, epochs: mostEpochs, correct: -1)
        if heldOutCount > 0 && !fitted.isEmpty {
            for rate in rates {
                for decay in decays {
                    var own = (epochs: 0, correct: -1)
                    _ = try fit(fitted, rate: rate, decay: decay, epochs: mostEpochs) { epoch, classifier in
                        let found = try correct(classifier, of: train, ownHeldOut)
                        progress(
                            "MLP probe: rate \(rate), decay \(decay), epoch \(epoch), \(found) of "
                                + "\(heldOutCount) held-out rows correct")
                        if found > own.correct { own = (epoch, found) }
                        return epoch < own.epochs + patience || epoch < leastEpochs
                    }
                    if own.correct > best.correct { best = (rate, decay, own.epochs, own.correct) }
                }
            }
        }
        let classifier = try fit(
            Array(0..<train.rows), rate: best.rate, decay: best.decay, epochs: max(best.epochs, leastEpochs))
        return Double(try correct(classifier, of: test, Array(test.labels.indices))) / Double(test.rows)
    }
}

/// Linear, batch norm over all ranks' rows, rectifier, dropout, linear.
private struct Classifier {
    private let hidden: Linear
    private let norm: BatchNorm
    private let output: Linear
    private let dropoutRate: Float
    private let seed: UInt64

    init(_ declare: Declarations, inputs: Int, hidden: Int, classes: Int, dropoutRate: Float, seed: UInt64) {
        self.hidden = Linear(declare, "hidden", inputs: inputs, outputs: hidden)
        norm = BatchNorm(declare, "norm", channels: hidden, rectified: true)
        output = Linear(declare, "output", inputs: hidden, outputs: classes)
        self.dropoutRate = dropoutRate
        self.seed = seed
    }

    /// Logits [n, classes] of x [n, inputs]. `samples` are the global indices of the rows.
    func callAsFunction(_ tape: Tape, _ x: Variable, step: Int, samples: [Int]) throws -> Variable {
        let h = try norm(tape, hidden(tape, x))
        return try output(tape, tape.dropout(h, rate: dropoutRate, seed: seed, step: step, samples: samples))
    }

    /// Number of these rows of this rank that are classified correctly.
    func correct(of features: Features, rows: [Int], _ standardisation: Standardisation, device: Device) throws -> Int {
        var correct = 0
        for start in stride(from: 0, to: rows.count, by: 1024) {
            let block = Array(rows[start..<min(start + 1024, rows.count)])
            let tape = Tape(
                device: device, ranks: SingleRank(), shares: Shares(counts: [block.count], rank: 0), mode: .evaluation)
            let x = tape.constant(standardisation.tensor(of: features, rows: block, device: device))
            let logits = try self(tape, x, step: 0, samples: block).value
            let found = logits.matrix.largestColumns(of: features.classes)
            correct += zip(found, block).reduce(0) { $0 + ($1.0 == features.labels[$1.1] ? 1 : 0) }
        }
        return correct
    }
}
