// The contrastive loss of the global batch, exact on any number of ranks.
//
// Aims, in order: 1. exact  2. finite for scores up to ±1000  3. memory linear in the batch  4. speed.
//
// N images in the global batch, n of them on this rank, M locations an image, D dimensions.
//   locals   [n·M, D]   stay on their rank
//   globals  [n, D]     gathered to [N, D]; the only thing that travels, with one or two numbers a global
//   scores   [n·M, N]   u[(j, p), i] of local (j, p) with global i, never whole: a tile of rows at a time
//
// Where scores come from is the business of `PairScores`; what is computed from them, of `ContrastivePass`.

import Autodiff
import Collectives
import Tensors

/// A loss, and its gradients in the inputs' layout.
package struct ContrastiveResult {
    /// This rank's part of the global mean: the parts of all ranks sum to the loss.
    package let loss: Double
    /// By each factor's locals, [n·M, Dₖ]; one for factors of the same locals.
    package let locals: [Tensor]
    /// By each factor's layer, [U, Dₖ + 1]; nil where it has none.
    package let layers: [Tensor?]
    /// By the globals, [n, D].
    package let globals: Tensor
}

package struct ContrastiveLoss {
    package let estimator: Estimator
    package let anchor: Anchor
    package let compatibility: Compatibility
    /// For MINE: what the gradient of `donskerVaradhan` is divided by instead of the batch's own mean.
    package var partition: PartitionAverage?
    /// How many scores are held at a time; a tile has at least one image's.
    package var tileScores = 1 << 21
    /// How many globals they are with, but where a location's scores have to be together.
    package var tileGlobals = 1024

    package init(_ estimator: Estimator, anchor: Anchor = .global, compatibility: Compatibility = .exact) {
        self.estimator = estimator
        self.anchor = anchor
        self.compatibility = compatibility
    }

    /// The loss of scores that are sums of inner products, and both gradients. Collective.
    ///
    /// - Parameters:
    ///   - locals: factors of this rank's n images, M rows an image.
    ///   - globals: [n, D] of the same images. Columns of no factor: at most one, `offsetColumn`.
    ///   - offsetColumn: a column that is added to the scores of its global.
    /// - Throws: `InputError` when the global batch has fewer than two images: there is nothing to contrast with.
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
        guard shares.total >= 2 else {
            throw InputError(
                "a contrastive loss needs at least 2 images in the global batch, not \(shares.total): raise the batch")
        }
        return try ranks.gatherRows(globals, shares: shares, device: device)
    }
}

/// The moving average that MINE's gradient divides by, E_P[∇T] - E_Q[e^T ∇T]/average, so that its bias fades
/// (Belghazi et al. 2018, section 3.2). One value on every rank, for the mean it follows is that of all ranks.
package final class PartitionAverage {
    /// Share of the newest batch, in 0...1.
    package let rate: Double
    /// ln of the average of E_Q[e^T]; nil before the first batch.
    package private(set) var logarithm: Double?

    package init(rate: Double = 0.01) { self.rate = rate }

    /// Takes in the logarithm of a batch's mean of e^T.
    package func update(_ mean: Double) {
        guard let old = logarithm else {
            logarithm = mean
            return
        }
        let largest = max(old, mean)
        logarithm = largest + ((1 - rate) * (old - largest).exponential + rate * (mean - largest).exponential).logarithm
    }
}
