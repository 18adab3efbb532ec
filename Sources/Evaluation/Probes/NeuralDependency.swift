import Autodiff
import Collectives
import Foundation
import Layers
import Objectives
import Tensors

/// Neural dependency measure (Brakel & Bengio 2017; Hjelm et al. 2019, section 4): a network tells features from the
/// same with each dimension shuffled over the batch by itself, which makes dimensions independent. Its value is the
/// divergence KL(joint || product of marginals), the total correlation, as far as the network finds it: 0 for
/// independent dimensions.
///
/// The network is trained on training rows and its Donsker-Varadhan bound is taken on test rows: a lower bound, and far
/// above the logarithm of their number one that few samples decide. A network that has learned training rows by heart
/// scores low there, so few rows of many dimensions give a value that is too low, even below 0.
package struct NeuralDependency {
    /// Units of the hidden layers.
    package var hiddenUnits = [1000, 200]
    /// Rows of a batch, over all ranks.
    package var batch = 10_000
    /// Batches that the network is trained on.
    package var steps = 100
    /// Learning rate of Adam at the start; it falls to 0 along a cosine.
    package var rate = 1e-3

    package init() {}

    /// The bound in nats. Collective; the same on every rank.
    /// - Parameter seed: sets the network's start, the order of the rows and the shuffles.
    package func callAsFunction(
        train: Features, test: Features, seed: UInt64, ranks: any Ranks, device: Device,
        progress: (String) -> Void = { _ in }
    ) throws -> Double {
        try check(train: train, test: test)
        guard hiddenUnits.allSatisfy({ $0 >= 1 }) && batch >= 2 && steps >= 1 && rate > 0 else {
            throw InputError(
                "dependency measure of \(hiddenUnits) units, batch \(batch), \(steps) steps, rate \(rate): need at "
                    + "least 1, 2, 1, above 0")
        }
        let declarations = Declarations()
        let network = MLP(
            declarations, "network", inputs: train.dimension, widths: hiddenUnits + [1], hidden: .leaky(slope: 0))
        let parameters = ParameterSet(declarations, device: device, seed: seed)
        var settings = AdamSettings()
        (settings.rate, settings.schedule, settings.warmupSteps) = (rate, .cosine, 0)
        let standardisation = try Standardisation(of: train, ranks: ranks, device: device)
        let training = ProbeTraining(
            name: "dependency measure", features: train, standardisation: standardisation,
            rows: Array(0..<Int32(train.rows)), seed: seed, ranks: ranks, device: device)
        func loss(_ tape: Tape, _ x: Variable, step: Int) throws -> Variable {
            let shuffled = tape.constant(
                try permutedColumns(x.value, shares: tape.shares, device: device, ranks: ranks) { column in
                    RandomStream(seed: seed, purpose: .shuffle, step: step, sample: column)
                })
            return try tape.twoSampleLoss(
                .donskerVaradhan, positives: try network(tape, x), negatives: try network(tape, shuffled))
        }
        try training(
            parameters, batch: batch, steps: steps, rate: { settings.rate(at: $0, of: steps) }, progress: progress,
            loss: { try loss($0.tape, $0.x, step: $0.step) })

        // All test rows are one batch; shuffles go on from those of training.
        let tape = Tape(device: device, ranks: ranks, shares: test.shares, mode: .evaluation)
        let x = standardisation.tensor(of: test, rows: Array(test.labels.indices), device: device)
        let own = try loss(tape, tape.constant(x), step: steps).value.base[0]
        return -(try ranks.sum([Double(own)])[0])
    }

    /// What a reader has to know of a value: where it says more than so many test rows can, or less than nothing.
    package static func notes(of value: Double, testRows: Int) -> [String] {
        let most = log(Double(testRows))
        if value > most {
            return [
                "more than \(testRows) test rows can tell, which is about their logarithm, "
                    + "\(String(format: "%.1f", most)) nats: high, but the number means nothing"
            ]
        }
        guard value < -0.1 else { return [] }
        return ["below 0, which no divergence is: the network learned its rows by heart, there are too few of them"]
    }
}
