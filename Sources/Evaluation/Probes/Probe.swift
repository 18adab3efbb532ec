import Collectives
import Tensors

/// The probes: ways of measuring the quality of frozen features.
package enum Probe: String, Codable, CaseIterable, Sendable {
    /// Logistic regression: information that one direction for each class finds.
    case linear
    /// A linear support vector machine, as in the published evaluation.
    case svm
    /// Votes of the most similar training rows: whether neighbours have the same class.
    case knn
    /// A network with one hidden layer: information in any form.
    case mlp
    /// The same network as published, at one rate and without decay.
    case mlpPublished
    /// A decoder: how much of the image the features keep.
    case reconstruction
    /// Neural dependency measure: how far the dimensions are from being independent.
    case ndm
    /// Mutual information between images and features, as far as a critic finds it.
    case mine

    /// The unit of a probe's value.
    package enum Measure: Sendable {
        /// Fraction of the test images that are classified correctly, in 0...1; more is better.
        case accuracy
        /// Multi-scale structural similarity, in 0...1; more is better.
        case similarity
        /// A divergence in nats. For `ndm` less is better, and 0 means independent dimensions. For `mine` more is
        /// better.
        case nats
    }

    package var measure: Measure {
        switch self {
        case .linear, .svm, .knn, .mlp, .mlpPublished: .accuracy
        case .reconstruction: .similarity
        case .ndm, .mine: .nats
        }
    }

    /// Whether another seed gives another value on the same features.
    package var isSeeded: Bool { self != .knn }

    /// Whether it needs the images of the features.
    package var needsPictures: Bool { self == .reconstruction || self == .mine }

    /// Fewest training rows that it needs.
    package var fewestTrainingRows: Int { self == .mine ? PairedRows.fewest : 1 }
}

/// The result of a probe.
package struct Finding: Equatable, Sendable {
    /// In the unit of the probe's measure.
    package let value: Double
    /// Notes on the value, a line each; usually none.
    package let notes: [String]

    package init(value: Double, notes: [String] = []) { (self.value, self.notes) = (value, notes) }
}

/// A probe's value on the test rows, after training on the training rows.
///
/// Collective; the same on every rank, and to rounding at every world size. `progress` gets a line now and then.
/// - Parameters:
///   - seed: seed of a probe's random choices: which rows are held out, the start of a network, and the order of rows.
///   - reconstruction: settings of that probe.
/// - Throws: `InputError` where the features don't fit together, or lack the images that `reconstruction` and `mine`
///   need.
package func score(
    _ probe: Probe, train: Features, test: Features, seed: UInt64, ranks: any Ranks, device: Device,
    reconstruction: Reconstruction = Reconstruction(), progress: (String) -> Void = { _ in }
) throws -> Finding {
    switch probe {
    case .linear, .svm:
        let result = try LinearProbe(probe == .svm ? .squaredHinge : .logistic)(
            train: train, test: test, seed: seed, ranks: ranks, device: device, progress: progress)
        return Finding(value: result.accuracy, notes: result.notes)
    case .knn:
        let neighbours = NearestNeighbours()
        return Finding(
            value: try neighbours(train: train, test: test, ranks: ranks, device: device, progress: progress),
            notes: neighbours.notes(trainingRows: train.rows))
    case .mlp, .mlpPublished:
        let multilayer = probe == .mlp ? MultilayerProbe() : .published
        return Finding(
            value: try multilayer(
                train: train, test: test, seed: seed, ranks: ranks, device: device, progress: progress),
            notes: multilayer.notes(trainingRows: train.rows, seed: seed))
    case .reconstruction:
        return Finding(
            value: try reconstruction(
                train: train, test: test, seed: seed, ranks: ranks, device: device, progress: progress))
    case .ndm:
        let value = try NeuralDependency()(
            train: train, test: test, seed: seed, ranks: ranks, device: device, progress: progress)
        return Finding(value: value, notes: NeuralDependency.notes(of: value, testRows: test.rows))
    case .mine:
        let information = InputInformation()
        let estimate = try information.estimate(
            train: train, test: test, seed: seed, ranks: ranks, device: device, progress: progress)
        return Finding(value: estimate.nats, notes: information.notes(trainingImages: train.rows) + estimate.warnings)
    }
}
