import Autodiff
import Collectives
import Layers
import Tensors

/// The classifier that Deep InfoMax was published with: one hidden layer of 200 units on standardised features.
package struct MultilayerProbe {
    /// Units of the hidden layer.
    package var hiddenUnits = 200
    /// Share of the hidden units set to 0 in training, in 0..<1.
    package var dropoutRate: Float = 0.1
    /// Rows of a batch, over all ranks.
    package var batch = 256
    /// Passes over the training rows.
    package var epochs = 30
    /// Updates at least: a small set is passed over more often.
    package var leastSteps = 1000
    /// Learning rate of Adam at the start; it falls to 0 along a cosine.
    package var rate = 1e-3

    package init() {}

    /// Share of the test rows put into the right class after the last epoch, in 0...1.
    /// Collective; the same on every rank.
    /// - Parameter seed: sets the start, the order of the rows and the dropout.
    package func callAsFunction(
        train: Features, test: Features, seed: UInt64, ranks: any Ranks, device: Device,
        progress: (String) -> Void = { _ in }
    ) throws -> Double {
        try check(train: train, test: test)
        guard hiddenUnits >= 1 && (0..<1).contains(dropoutRate) && batch >= 1 && epochs >= 1 && rate > 0 else {
            throw InputError(
                "MLP probe of \(hiddenUnits) units, dropout \(dropoutRate), batch \(batch), \(epochs) epochs, rate "
                    + "\(rate): need at least 1, 0 up to 1, at least 1, at least 1, above 0")
        }
        let standardisation = try Standardisation(of: train, ranks: ranks, device: device)
        let declarations = Declarations()
        let classifier = Classifier(
            declarations, inputs: train.dimension, hidden: hiddenUnits, classes: train.classes,
            dropoutRate: dropoutRate, seed: seed)
        let parameters = ParameterSet(declarations, device: device, seed: seed)
        var settings = AdamSettings()
        settings.rate = rate
        settings.schedule = .cosine
        settings.warmupSteps = 0
        let adam = Adam(settings, parameters: parameters, device: device)

        let batch = min(batch, train.rows)
        let batchesPerEpoch = train.rows / batch  // what is left over has its turn in another epoch's order
        let epochs = max(epochs, (leastSteps + batchesPerEpoch - 1) / batchesPerEpoch)
        var step = 0
        for epoch in 0..<epochs {
            var stream = RandomStream(seed: seed, purpose: .permutation, step: epoch)
            let order = stream.permutation(of: train.rows)
            var loss = 0.0
            for index in 0..<batchesPerEpoch {
                let drawn = Draw(order[index * batch..<(index + 1) * batch], held: train.shares)
                let x = train.values.rows(drawn.ownRows, device: device)
                standardisation.apply(to: x.matrix, into: x.matrix)
                let tape = Tape(device: device, ranks: ranks, shares: drawn.shares)
                let logits = try classifier(
                    tape, tape.constant(x), step: step, samples: drawn.ownRows.map { train.firstRow + $0 })
                let batchLoss = tape.crossEntropy(logits, labels: drawn.ownRows.map { train.labels[$0] })
                loss += Double(batchLoss.value.base[0])
                try tape.backward(from: batchLoss)
                try parameters.sumGradients(over: ranks)
                adam.update(parameters, rate: settings.rate(at: step, of: epochs * batchesPerEpoch))
                step += 1
            }
            let mean = try ranks.sum([loss])[0] / Double(batchesPerEpoch)
            guard mean.isFinite else {
                throw InputError("the MLP probe's loss is \(mean) in epoch \(epoch + 1): lower its rate, now \(rate)")
            }
            progress("MLP probe: epoch \(epoch + 1) of \(epochs), loss \(mean)")
        }
        return try accuracy(of: classifier, standardisation, test: test, ranks: ranks, device: device)
    }

    private func accuracy(
        of classifier: Classifier, _ standardisation: Standardisation, test: Features, ranks: any Ranks, device: Device
    ) throws -> Double {
        var correct = 0
        try test.forEachBlock { rows in
            let x = device.tensor([rows.count, test.dimension])
            standardisation.apply(to: test.values.matrix[rows: rows], into: x.matrix)
            let tape = Tape(device: device, ranks: ranks, shares: test.shares, mode: .evaluation)
            let logits = try classifier(tape, tape.constant(x), step: 0, samples: rows.map { test.firstRow + $0 })
            correct += zip(logits.value.matrix.largestColumns(of: test.classes), test.labels[rows]).reduce(0) {
                $0 + ($1.0 == $1.1 ? 1 : 0)
            }
        }
        return Double(try ranks.sum([correct])[0]) / Double(test.rows)
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
}
