import Autodiff
import Collectives
import Layers
import Tensors

/// The training loop of every probe that has a network: Adam, with decoupled weight decay (Loshchilov & Hutter 2019,
/// AdamW), on batches of frozen, standardised features.
struct ProbeTraining {
    /// The probe's name in messages.
    let name: String
    let features: Features
    let standardisation: Standardisation
    /// Global indices of the training rows; the same on every rank.
    let rows: [Int32]
    let seed: UInt64
    let ranks: any Ranks
    let device: Device

    /// Steps between reports, which also come at the end of each epoch.
    private static let stepsBetweenReports = 100

    /// One batch, ready for a network.
    struct Batch {
        let tape: Tape
        /// This rank's standardised features, [own rows of the batch, dimension].
        let x: Variable
        /// This rank's rows, counted from its first.
        let rows: [Int]
        /// Counted from 0.
        let step: Int
    }

    /// Trains `parameters` for `steps` batches of at most `batch` rows over all ranks. Collective.
    /// - Parameters:
    ///   - rate: the learning rate of a step.
    ///   - decay: weight decay of all parameters before a step, as a multiple of the rate.
    ///   - loss: this rank's part of a batch's loss.
    ///   - goesOn: whether to continue; called after each epoch with the number of epochs so far. Collective, and the
    ///     same on every rank.
    /// - Throws: `InputError` when the loss isn't finite.
    func callAsFunction(
        _ parameters: ParameterSet, batch: Int, steps: Int, rate: (_ step: Int) -> Double, decay: Double = 0,
        progress: (String) -> Void, goesOn: (_ epochs: Int) throws -> Bool = { _ in true },
        loss: (Batch) throws -> Variable
    ) throws {
        let adam = Adam(OptimiserSettings(), parameters: parameters, device: device)
        var order = BatchOrder(rows: rows, shares: features.shares, batch: batch, seed: seed)
        var sum = 0.0
        var summed = 0
        for step in 0..<steps {
            let drawn = order.draw(step: step)
            let tape = Tape(device: device, ranks: ranks, shares: drawn.shares)
            let x = tape.constant(standardisation.tensor(of: features, rows: drawn.ownRows, device: device))
            let value = try loss(Batch(tape: tape, x: x, rows: drawn.ownRows, step: step))
            sum += Double(value.value.base[0])
            summed += 1
            try tape.backward(from: value)
            tape.settle()
            try parameters.sumGradients(over: ranks)
            if decay > 0 { parameters.values.scale(by: Float(1 - rate(step) * decay)) }
            adam.update(parameters, rate: rate(step))
            let isEpochsEnd = (step + 1) % order.batchesPerEpoch == 0
            guard isEpochsEnd || (step + 1) % Self.stepsBetweenReports == 0 || step + 1 == steps else { continue }
            let mean = try ranks.sum([sum])[0] / Double(summed)
            guard mean.isFinite else {
                throw InputError(
                    "the \(name)'s loss is \(mean) at step \(step + 1), so its training diverged on these features")
            }
            progress("\(name): step \(step + 1) of \(steps), loss \(mean)")
            (sum, summed) = (0, 0)
            guard try !isEpochsEnd || goesOn((step + 1) / order.batchesPerEpoch) else { return }
        }
    }
}

extension Standardisation {
    /// A standardised copy of these rows, counted from this rank's first, [rows, dimension].
    func tensor(of features: Features, rows: [Int], device: Device) -> Tensor {
        let result = features.values.rows(rows, device: device)
        apply(to: result.matrix, into: result.matrix)
        return result
    }
}
