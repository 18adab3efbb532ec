import Autodiff
import Collectives
import Tensors

/// How much features say about their images: the mutual information by MINE (Belghazi et al. 2018), as Hjelm et al.
/// 2019, section 4, score codes.
///
/// It is `MutualInformation`'s lower bound on training images that neither trained nor chose its critic. The true value
/// has no limit for an encoder without noise. So the value is what a critic of this size finds in this number of
/// images. It compares encoders on the same images, and has no meaning alone.
package struct InputInformation {
    package var estimation: MutualInformation = {
        var estimation = MutualInformation()
        estimation.estimator = .mine
        return estimation
    }()
    /// Most training images, the first ones. A critic is trained on most of them.
    package var images = 20_000

    package init() {}

    /// Notes on the value, for a number of training images.
    func notes(trainingImages count: Int) -> [String] {
        count > images
            ? [
                "measured on the first \(images) of \(count) training images, because more would take too long"
            ] : []
    }

    /// The bound of `estimate`, in nats. Collective.
    package func callAsFunction(
        train features: Features, test: Features, seed: UInt64, ranks: any Ranks, device: Device,
        progress: (String) -> Void = { _ in }
    ) throws -> Double {
        try estimate(train: features, test: test, seed: seed, ranks: ranks, device: device, progress: progress).nats
    }

    /// The bound, with warnings. Collective; the same on every rank and, to rounding, at every world size.
    /// - Parameters:
    ///   - test: only checked to fit `train`; the estimation holds out rows of `train`.
    ///   - seed: seed of the estimation.
    package func estimate(
        train features: Features, test: Features, seed: UInt64, ranks: any Ranks, device: Device,
        progress: (String) -> Void = { _ in }
    ) throws -> MutualInformationEstimate {
        try check(train: features, test: test)
        guard let pictures = features.pictures else {
            throw InputError("these features have no images: --probe mine compares features with their images")
        }
        let count = max(0, min(features.labels.count, images - features.firstRow))
        let x = pictures.tensor(of: Array(0..<count), device: device)
        return try estimation(
            x: x.reshaped([count, pictures.shape.size]),
            y: features.values.view(from: 0, shape: [count, features.dimension]), seed: seed, ranks: ranks,
            device: device, progress: { progress("MINE: \($0)") })
    }
}
