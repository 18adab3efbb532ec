import Autodiff
import Collectives
import Tensors

/// How much features say of the images that they were made of: their mutual information by MINE (Belghazi et al. 2018), as
/// Hjelm et al. 2019, section 4, judge codes.
///
/// It is `MutualInformation`'s lower bound on training images that neither trained nor chose its critic. An encoder
/// without noise loses nothing that one could name, so the value is what a critic of this size finds in so many images:
/// for comparing encoders on the same images, not a number of its own.
package struct InputInformation {
    package var estimation: MutualInformation = {
        var estimation = MutualInformation()
        estimation.estimator = .mine
        return estimation
    }()
    /// Training images at most, the first ones; a critic sees most of them.
    package var images = 20_000

    package init() {}

    /// What a reader has to know of a value from so many training images.
    func notes(trainingImages count: Int) -> [String] {
        count > images ? ["of the first \(images) of \(count) training images: more would take too long"] : []
    }

    /// The bound in nats, of `estimate`. Collective.
    package func callAsFunction(
        train features: Features, test: Features, seed: UInt64, ranks: any Ranks, device: Device,
        progress: (String) -> Void = { _ in }
    ) throws -> Double {
        try estimate(train: features, test: test, seed: seed, ranks: ranks, device: device, progress: progress).nats
    }

    /// The bound and what speaks against it. Collective; the same on every rank and, to rounding, at every world size.
    /// - Parameters:
    ///   - test: only held against `train`: the estimation holds rows of that out.
    ///   - seed: of the estimation.
    package func estimate(
        train features: Features, test: Features, seed: UInt64, ranks: any Ranks, device: Device,
        progress: (String) -> Void = { _ in }
    ) throws -> MutualInformationEstimate {
        try check(train: features, test: test)
        guard let pictures = features.pictures else {
            throw InputError("these features have no images beside them: --probe mine compares the two")
        }
        let count = max(0, min(features.labels.count, images - features.firstRow))
        let x = pictures.tensor(of: Array(0..<count), device: device)
        return try estimation(
            x: x.reshaped([count, pictures.shape.size]),
            y: features.values.view(from: 0, shape: [count, features.dimension]), seed: seed, ranks: ranks,
            device: device, progress: { progress("MINE: \($0)") })
    }
}
