import Autodiff
import Collectives
import Foundation
import Layers
import Objectives
import Tensors

/// Neural dependency measure (Brakel & Bengio 2017; Hjelm et al. 2019, section 4). A network separates features from
/// shuffled features: there each dimension is shuffled over the batch separately, which makes dimensions independent.
/// The value is the divergence KL(joint || product of marginals), the total correlation, as far as the network finds
/// it. It is 0 for independent dimensions.
///
/// The network is trained on training rows, and its Donsker-Varadhan bound on test rows is the value. It is a lower
/// bound. Far above the logarithm of the number of test rows it depends on few samples. A network that has memorised
/// training rows scores low on test rows. So few rows of many dimensions give a value that is too low, even below 0.
package struct NeuralDependency {
    /// Units of the hidden layers.
    package var hiddenUnits = [1000, 200]
    /// Rows of a batch, over all ranks.
    package var batch = 10_000
    /// Training steps of the network.
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
                "dependency measure with \(hiddenUnits) units, batch \(batch), \(steps) steps and rate \(rate): they "
                    + "must be at least 1, at least 2, at least 1 and above 0")
        }
        let declarations = Declarations()
        let network = MLP(
            declarations, "network", inputs: train.dimension, widths: hiddenUnits + [1], hidden: .leaky(slope: 0))
        let parameters = ParameterSet(declarations, device: device, seed: seed)
        var settings = OptimiserSettings()
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

        // All test rows are one batch. Its shuffles are the next ones after those of training.
        let tape = Tape(device: device, ranks: ranks, shares: test.shares, mode: .evaluation)
        let x = standardisation.tensor(of: test, rows: Array(test.labels.indices), device: device)
        let own = try loss(tape, tape.constant(x), step: steps).value.base[0]
        return -(try ranks.sum([Double(own)])[0])
    }

    /// Notes on a value: where it is above the most that these test rows can show, or below 0.
    package static func notes(of value: Double, testRows: Int) -> [String] {
        let most = log(Double(testRows))
        if value > most {
            return [
                "above \(String(format: "%.1f", most)) nats, about the most that \(testRows) test rows can show (the "
                    + "logarithm of their number): the dependency is high, but the number isn't exact"
            ]
        }
        guard value < -0.1 else { return [] }
        return [
            "below 0, which is impossible for a divergence: there are too few rows, and the network has memorised them"
        ]
    }
}
