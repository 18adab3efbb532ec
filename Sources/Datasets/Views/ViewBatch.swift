import Collectives
import Tensors

/// The views of each image that a method needs.
package struct ViewRecipe: Sendable {
    /// At least one group; all views of a group have one size.
    package private(set) var groups: [ViewGroup]
    /// Whether values must be in 0...1 before they are normalised, as bytes are.
    package let needsUnitRange: Bool
    /// Whether batches have labels.
    package let needsLabels: Bool
    /// Whether the card has the covariance of patches.
    package var needsPatchCovariance = false

    /// Views of a sample are fewer than this.
    static let mostViews = 1 << 15

    package init(_ groups: [ViewGroup], needsUnitRange: Bool = false, needsLabels: Bool = false) {
        precondition(!groups.isEmpty, "a recipe has at least one group of views")
        precondition(groups.reduce(0) { $0 + $1.views.count } < Self.mostViews, "too many views")
        self.groups = groups
        self.needsUnitRange = needsUnitRange
        self.needsLabels = needsLabels
    }

    /// Views of the images' own size.
    package init(_ views: [Augmentation], needsUnitRange: Bool = false) {
        self.init([ViewGroup(views)], needsUnitRange: needsUnitRange)
    }

    /// The augmentations of all views, in order of the groups. A view's index among them is its key of random numbers.
    package var views: [Augmentation] { groups.flatMap(\.views) }

    /// This recipe for images of a shape: without the changes of named recipes that such images can't have.
    /// - Throws: `InputError` for the other changes that they can't have.
    func fitted(to shape: ImageShape, holdsBytes: Bool) throws -> ViewRecipe {
        let groups = try groups.map { group in
            let views = group.views.map { $0.without(unfitFor: shape, holdsBytes: holdsBytes).augmentation }
            for view in views { try view.check(shape: shape, holdsBytes: holdsBytes, side: group.side) }
            return ViewGroup(views, side: group.side)
        }
        var result = self
        result.groups = groups
        return result
    }

    /// A sentence on the changes that `fitted` leaves out; nil without any.
    func remark(on shape: ImageShape, holdsBytes: Bool) -> String? {
        for view in views {
            let leftOut = view.without(unfitFor: shape, holdsBytes: holdsBytes).leftOut
            guard !leftOut.isEmpty else { continue }
            let kind = holdsBytes ? "\(shape.channels) channel(s), not red, green and blue" : "floating-point pixels"
            return "images have \(kind), so of data.augmentation.recipe=\(view.recipe.rawValue) these are left out: "
                + leftOut.joined(separator: ", ")
        }
        return nil
    }
}

/// Views of one size.
package struct ViewGroup: Sendable {
    /// The augmentation of each view, at least one.
    package let views: [Augmentation]
    /// Side in pixels of these views, which are squares; nil for the images' own size. Without a crop, whole images are
    /// resized to it.
    package let side: Int?

    package init(_ views: [Augmentation], side: Int? = nil) {
        precondition(!views.isEmpty, "a group has at least one view")
        precondition(side.map((1...ImageShape.longestSide).contains) ?? true, "views of \(side ?? 0) pixels")
        self.views = views
        self.side = side
    }

    /// As many views of the same augmentation.
    package init(_ count: Int, of augmentation: Augmentation, side: Int? = nil) {
        self.init(Array(repeating: augmentation, count: count), side: side)
    }
}

/// Views of the same images.
package struct ViewBatch: RankBatch {
    package let shares: Shares
    package let samples: [Int]
    /// A group of views of one size each, [views·n, H, W, channels], normalised. View k of this rank's i-th image is row
    /// k·n + i, so that all views of a group pass a network as one batch.
    package let groups: [Tensor]
    /// [n]: the label of each image, or `noLabel`; empty where the recipe needs none.
    package let labels: [Int32]

    package init(shares: Shares, samples: [Int], groups: [Tensor], labels: [Int32] = []) {
        self.shares = shares
        self.samples = samples
        self.groups = groups
        self.labels = labels
    }

    package init(shares: Shares, samples: [Int], images: Tensor) {
        self.init(shares: shares, samples: samples, groups: [images])
    }

    /// The first group of views.
    package var images: Tensor { groups[0] }

    /// n, this rank's images.
    package var count: Int { shares.own }

    package var inputs: [Tensor] {
        groups.flatMap { group in
            let shape = [count] + group.shape.dropFirst()
            let size = shape.reduce(1, *)
            return (0..<group.shape[0] / max(count, 1)).map { group.view(from: $0 * size, shape: shape) }
        }
    }
}

/// The properties of images that a network trained on them depends on.
package struct ViewCard: DataCard {
    package let height: Int
    package let width: Int
    package let channels: Int
    package let normalisation: Normalisation
    /// One more than the largest label; nil where training needs no labels.
    package let labels: Int?
    /// The covariance of patches of 2x2 pixels, [4C, 4C], as of `PatchCovariance`; nil where no network needs it, and for
    /// images without such patches or with more than 16 channels.
    package let patchCovariance: [Float]?

    package init(
        height: Int, width: Int, channels: Int, normalisation: Normalisation, labels: Int? = nil,
        patchCovariance: [Float]? = nil
    ) {
        self.height = height
        self.width = width
        self.channels = channels
        self.normalisation = normalisation
        self.labels = labels
        self.patchCovariance = patchCovariance
    }

    /// Whether the images are the same. The covariance follows from them, and from how many of them it takes.
    package static func == (a: ViewCard, b: ViewCard) -> Bool {
        a.hasShape(of: b) && (a.normalisation, a.labels) == (b.normalisation, b.labels)
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
        let size = 16 * channels * channels
        guard patchCovariance.map({ $0.count == size && $0.allSatisfy(\.isFinite) }) ?? true else {
            throw InputError(
                "the checkpoint is damaged: its covariance of patches has \(patchCovariance?.count ?? 0) numbers, "
                    + "expected \(size) finite ones")
        }
        guard labels.map({ (1...Self.mostLabels).contains($0) }) ?? true else {
            throw InputError(
                "labels go up to \((labels ?? 0) - 1): expected numbers of classes, from 0 to \(Self.mostLabels - 1)")
        }
    }

    private static let mostLabels = 65536
}
