// The contrastive loss of the global batch, exact on any number of ranks.
//
// Aims, in order: 1. exact  2. finite for scores up to ±1000  3. memory linear in the batch  4. speed.
//
// N images in the global batch, n of them on this rank, M locations in an image, D dimensions.
//   locals   [n·M, D]   stay on their rank
//   globals  [n, D]     gathered to [N, D]; the only thing that travels, with one or two numbers a global
//   scores   [n·M, N]   u[(j, p), i] of local (j, p) with global i, never whole: a tile of rows at a time
// `PairScores` computes scores; `ContrastivePass` computes losses from them.

import Autodiff
import Collectives
import Tensors

/// A loss, and its gradients in the inputs' layout.
package struct ContrastiveResult {
    /// This rank's part of the global mean: the parts of all ranks sum to the loss.
    package let loss: Double
    /// Gradients by each factor's locals, [n·M, Dₖ]; factors of the same locals have one in common.
    package let locals: [Tensor]
    /// Gradients by each factor's layer, [U, Dₖ + 1]; nil where it has none.
    package let layers: [Tensor?]
    /// Gradient by the globals, [n, D].
    package let globals: Tensor
}

package struct ContrastiveLoss {
    package let estimator: Estimator
    package let anchor: Anchor
    package let compatibility: Compatibility
    /// For MINE: the moving average that divides the gradient of `donskerVaradhan`, instead of the batch's own mean.
    package var partition: PartitionAverage?
    /// Most scores in a tile; a tile has at least those of one image.
    package var tileScores = 1 << 21
    /// Most globals of a tile, unless all scores of a location must be together.
    package var tileGlobals = 1024

    package init(_ estimator: Estimator, anchor: Anchor = .global, compatibility: Compatibility = .exact) {
        self.estimator = estimator
        self.anchor = anchor
        self.compatibility = compatibility
    }

    /// The loss of scores that are sums of inner products, and both gradients. Collective.
    ///
    /// - Parameters:
    ///   - locals: factors of this rank's n images, M rows for each image.
    ///   - globals: [n, D] of the same images. Every column belongs to a factor, except `offsetColumn`.
    ///   - offsetColumn: a column whose values are added to the scores of their global.
    /// - Throws: `InputError` when the global batch has fewer than two images.
    package func callAsFunction(
        locals: [LocalFactor], globals: Tensor, offsetColumn: Int? = nil, locations: Int, shares: Shares,
        device: Device, ranks: any Ranks
    ) throws -> ContrastiveResult {
        let all = try gather(globals, shares: shares, device: device, ranks: ranks)
        let scores = SeparableScores(locals: locals, globals: all, offsetColumn: offsetColumn, device: device)
        let loss = try value(of: scores, locations: locations, shares: shares, device: device, ranks: ranks)
        let own = try ranks.sumRowsScattered(scores.globalGradients, shares: shares, device: device)
        return ContrastiveResult(
            loss: loss, locals: scores.localGradients, layers: scores.layerGradients, globals: own)
    }

    private var needsWholeRows: Bool {
        if case .infoNCE = estimator.form { anchor != .global } else { false }
    }

    /// This rank's part of the loss; leaves the gradients in `scores`. Collective.
    func value(
        of scores: any PairScores, locations: Int, shares: Shares, device: Device, ranks: any Ranks
    ) throws -> Double {
        let pass = ContrastivePass(
            scores, locations: locations, shares: shares, tileScores: tileScores,
            tileGlobals: needsWholeRows ? shares.total : tileGlobals, device: device, ranks: ranks)
        switch estimator.form {
        case .divergence(let divergence): return try pass.divergence(divergence)
        case .donskerVaradhan: return try pass.donskerVaradhan(partition: partition)
        case .infoNCE:
            return switch anchor {
            case .local: try pass.infoNCEAnchoredAtLocals()
            case .global: try pass.infoNCEAnchoredAtGlobals(compatibility: compatibility)
            case .both: try pass.infoNCEAnchoredAtGlobals(compatibility: compatibility, andAtLocals: true)
            }
        }
    }

    /// All ranks' globals, [N, D]. Collective.
    package func gather(_ globals: Tensor, shares: Shares, device: Device, ranks: any Ranks) throws -> Tensor {
        try checkContrast(shares)
        return try ranks.gatherRows(globals, shares: shares, device: device)
    }
}

/// The moving average that divides MINE's gradient, E_P[∇T] - E_Q[e^T ∇T]/average, which reduces its bias (Belghazi et
/// al. 2018, section 3.2). It has the same value on every rank, because it follows the mean over all ranks.
package final class PartitionAverage {
    /// Weight of the newest batch, in 0...1.
    package let rate: Double
    /// ln of the average of E_Q[e^T]; nil before the first batch.
    package private(set) var logarithm: Double?

    package init(rate: Double = 0.01) { self.rate = rate }

    /// Updates the average with the logarithm of a batch's mean of e^T.
    package func update(_ mean: Double) {
        guard let old = logarithm else {
            logarithm = mean
            return
        }
        let largest = max(old, mean)
        logarithm = largest + ((1 - rate) * (old - largest).exponential + rate * (mean - largest).exponential).logarithm
    }
}
