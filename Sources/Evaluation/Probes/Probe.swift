import Collectives
import Tensors

/// What is trained on frozen features to tell what they are worth.
package enum Probe: String, Codable, CaseIterable, Sendable {
    /// Logistic regression: what can be read off along one direction a class.
    case linear
    /// The same by a support vector machine, as in the published evaluation.
    case svm
    /// Votes of the most similar training rows: whether neighbours mean the same.
    case knn
    /// One hidden layer: what is there, in whatever form.
    case mlp
    /// The same as it was published, at one rate and without decay.
    case mlpPublished
    /// A decoder: how much of the image is there.
    case reconstruction
    /// Neural dependency measure: how far the dimensions are from being independent.
    case ndm
    /// Mutual information between images and features, as far as a critic finds it.
    case mine

    /// In what a probe's value is counted.
    package enum Measure: Sendable {
        /// Share of the test images put into the right class, in 0...1; more is better.
        case accuracy
        /// Multi-scale structural similarity, in 0...1; more is better.
        case similarity
        /// A divergence in nats. Of `ndm`, 0 for independent dimensions: less is better; of `mine`, more is.
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

    /// Whether it takes the images that features were made of.
    package var needsPictures: Bool { self == .reconstruction || self == .mine }

    /// Training rows that it takes at least.
    package var fewestTrainingRows: Int { self == .mine ? PairedRows.fewest : 1 }
}

/// What a probe found.
package struct Finding: Equatable, Sendable {
    /// In the unit of the probe's measure.
    package let value: Double
    /// What a reader has to know of it, a line each; none as a rule.
    package let notes: [String]

    package init(value: Double, notes: [String] = []) { (self.value, self.notes) = (value, notes) }
}

/// A probe's value on the test rows, after training on the training rows.
///
/// Collective; the same on every rank, and to rounding at every world size. `progress` gets a line now and then.
/// - Parameters:
///   - seed: of all that is random in a probe: which rows are held out, where a network starts, in which order rows
///     come.
///   - reconstruction: settings of that probe.
/// - Throws: `InputError` where the features don't fit together, or lack the images that `reconstruction` and `mine` need.
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
