import Collectives
import Tensors

/// What is trained on frozen features to tell what they are worth.
package enum Probe: String, Codable, CaseIterable, Sendable {
    /// Logistic regression: what can be read off along one direction a class.
    case linear
    /// Votes of the most similar training rows: whether neighbours mean the same.
    case knn
    /// One hidden layer: what is there, in whatever form.
    case mlp
}

/// Share of the test rows that a probe of the training rows puts into the right class, in 0...1.
///
/// Collective; the same on every rank, and to rounding at every world size. `progress` gets a line now and then.
/// - Throws: `InputError` where the features don't fit together.
package func score(
    _ probe: Probe, train: Features, test: Features, seed: UInt64, ranks: any Ranks, device: Device,
    progress: (String) -> Void = { _ in }
) throws -> Double {
    switch probe {
    case .linear:
        try LinearProbe()(train: train, test: test, seed: seed, ranks: ranks, device: device, progress: progress)
            .accuracy
    case .knn:
        try NearestNeighbours()(train: train, test: test, ranks: ranks, device: device, progress: progress)
    case .mlp:
        try MultilayerProbe()(train: train, test: test, seed: seed, ranks: ranks, device: device, progress: progress)
    }
}
