// The contrastive loss of any number of views: each view of an image against the mean of the image's large views, with
// other images' means as negatives.

import Autodiff
import Collectives
import Tensors

extension Tape {
    /// The mean over all views of -ln softmax over images of <z, m>/τ at the view's own image, with m the direction of
    /// the mean of the image's large views. For a large view, m is the mean of the others, so that no vector meets
    /// itself. Gradients reach both sides. It is this rank's part of the sum, a scalar. If all vectors are equal it is
    /// ln N. Collective; each large view, and the small ones together, gather N·D numbers and sum as many in backward.
    ///
    /// - Parameters:
    ///   - large: unit vectors of the large views, at least two of [n, D], a row for each of this rank's images.
    ///   - small: those of the small views; may be empty.
    ///   - temperature: τ, above 0.
    /// - Throws: `InputError` when the global batch has fewer than two images.
    package func contrastWithMeans(large: [Variable], small: [Variable], temperature: Double) throws -> Variable {
        precondition(large.count >= 2, "the mean of the other large views needs two of them")
        let views = Float(large.count + small.count)
        var losses: [(variable: Variable, weight: Float)] = []
        for k in large.indices {
            let others = large.indices.filter { $0 != k }.map { large[$0] }
            let mean = others.count == 1 ? others[0] : unitRows(sum(others))
            losses.append((try contrast(large[k], with: mean, views: 1, temperature: temperature), 1 / views))
        }
        if !small.isEmpty {
            let loss = try contrast(
                interleaveRows(small), with: unitRows(sum(large)), views: small.count, temperature: temperature)
            losses.append((loss, Float(small.count) / views))
        }
        return weightedSum(losses)
    }

    /// The mean over rows z of `anchors` of ln(sum over images of e^(<z, t>/τ)) - <z, t⁺>/τ, with t⁺ the target of the
    /// row's own image.
    /// - Parameters:
    ///   - anchors: [n·views, D], the views of an image in consecutive rows.
    ///   - targets: [n, D].
    private func contrast(
        _ anchors: Variable, with targets: Variable, views: Int, temperature: Double
    ) throws -> Variable {
        let inverse = Float(1 / temperature)
        let scaled = device.tensor(anchors.shape)
        scaled.copy(from: anchors.value)
        scaled.scale(by: inverse)
        let result = try ContrastiveLoss(.infoNCE, anchor: .local)(
            locals: [LocalFactor(values: scaled, columns: 0..<anchors.shape[1])], globals: targets.value,
            locations: views, shares: shares, device: device, ranks: ranks)
        result.locals[0].scale(by: inverse)
        return recordLoss(result.loss, gradients: [(anchors, result.locals[0]), (targets, result.globals)])
    }
}
