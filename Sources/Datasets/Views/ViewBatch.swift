import Collectives
import Tensors

/// The views of each image that a method needs.
package struct ViewRecipe: Sendable {
    /// The augmentation of each view, at least one.
    package let views: [Augmentation]
    /// Whether values must be in 0...1 before they are normalised, as bytes are.
    package let needsUnitRange: Bool

    package init(_ views: [Augmentation], needsUnitRange: Bool = false) {
        precondition(!views.isEmpty, "a recipe has at least one view")
        self.views = views
        self.needsUnitRange = needsUnitRange
    }
}

/// Views of the same images, all of one size.
package struct ViewBatch: RankBatch {
    package let shares: Shares
    package let samples: [Int]
    /// [views·n, H, W, channels], normalised. View k of this rank's i-th image is row k·n + i, so that all views pass a
    /// network as one batch.
    package let images: Tensor

    package init(shares: Shares, samples: [Int], images: Tensor) {
        self.shares = shares
        self.samples = samples
        self.images = images
    }

    /// n, this rank's images.
    package var count: Int { shares.own }

    /// One view of each image, [n, H, W, channels].
    package func view(_ index: Int) -> Tensor {
        let size = images.shape.dropFirst().reduce(1, *)
        return images.view(from: index * count * size, shape: [count] + images.shape.dropFirst())
    }

    package var inputs: [Tensor] { (0..<images.shape[0] / max(count, 1)).map(view) }
}

/// The properties of images that a network trained on them depends on.
package struct ViewCard: DataCard {
    package let height: Int
    package let width: Int
    package let channels: Int
    package let normalisation: Normalisation

    package init(height: Int, width: Int, channels: Int, normalisation: Normalisation) {
        self.height = height
        self.width = width
        self.channels = channels
        self.normalisation = normalisation
    }

    package func hasShape(of other: ViewCard) -> Bool {
        (height, width, channels) == (other.height, other.width, other.channels)
    }

    /// Throws `InputError` where no images can have these properties. A card may come from a damaged file.
    package func check() throws {
        let sides = 1...ImageShape.longestSide
        guard sides.contains(height), sides.contains(width), (1...1 << 16).contains(channels) else {
            throw InputError(
                "the checkpoint is damaged: its model is for images of \(height)x\(width)x\(channels), expected sides "
                    + "of 1 to \(sides.upperBound) and 1 to \(1 << 16) channels")
        }
        try normalisation.check(channels: channels)
    }
}
