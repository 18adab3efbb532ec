import Collectives
import Datasets
import Evaluation
import Tensors

/// The controls without an encoder: raw pixels, and their principal components.
struct PixelControls {
    /// This rank's images of the training and the test split.
    let train, test: ImageDataset
    /// Normalisation by the encoder's training images.
    let normalisation: Normalisation

    /// Number of principal components.
    private static let componentCount = 64

    /// Fills the controls' rows of the table. Collective.
    func judge(seeds: ProbeSeeds, by judge: FeatureJudge) throws {
        let device = judge.device
        func raw() throws -> (train: Features, test: Features) {
            try judge.features(pixels(of: train, device), pixels(of: test, device))
        }
        try judge.judge("raw pixels", seeds: seeds, raw)
        try judge.complete("raw pixels")
        let outcome = try judge.attempt {
            let raw = try raw()
            let components = try PrincipalComponents(
                of: raw.train, count: Self.componentCount, ranks: judge.ranks, device: device)
            return (
                components: components, train: try components.transform(raw.train, device: device),
                test: try components.transform(raw.test, device: device)
            )
        }
        let found = try? outcome.get()
        let name = "PCA-\(found?.test.dimension ?? Self.componentCount)"
        try judge.judge(name, seeds: seeds) {
            let found = try outcome.get()
            return (found.train, found.test)
        }
        try judge.complete(name)
        guard judge.probes.contains(.reconstruction), let (components, _, test) = found else { return }
        // Reconstructions without a decoder: by the inverse of the components, and by one mean image for all.
        let nothing = device.tensor(test.values.shape, filledWith: 0)
        for (name, coordinates) in [("\(name), inverse", test.values), ("mean image", nothing)] {
            try judge.add(name, EvaluationColumn(.reconstruction)) { _ in
                let similarity = try Reconstruction.similarity(to: test, ranks: judge.ranks, device: device) { rows in
                    let block = coordinates.view(
                        from: rows.lowerBound * test.dimension, shape: [rows.count, test.dimension])
                    let pixels = normalisation.undone(try components.inverse(block, device: device), device: device)
                    for i in 0..<pixels.count { pixels.base[i] = 2 * pixels.base[i] - 1 }
                    return pixels
                }
                return Finding(value: similarity)
            }
            try judge.complete(name)
        }
    }

    /// Normalised pixels of the images that this rank holds, [held, height·width·channels].
    private func pixels(of dataset: ImageDataset, _ device: Device) -> Tensor {
        let result = device.tensor([dataset.images.count, dataset.shape.size])
        dataset.fill(result.base, indices: Array(dataset.images), normalisation: normalisation)
        return result
    }
}
