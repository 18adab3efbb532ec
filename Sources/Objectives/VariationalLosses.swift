// The parts of the bound that a variational autoencoder maximises (Kingma & Welling 2014), for a code of independent
// normal dimensions. The variance is given by its logarithm.

import Autodiff
import Tensors

extension Tape {
    /// A sample of N(mean, e^logVariance) as a function of both, mean + e^(logVariance/2)·noise, [n, Z] (Kingma &
    /// Welling 2014, section 2.4).
    ///
    /// - Parameters:
    ///   - mean: [n, Z], a row for each image of this rank.
    ///   - logVariance: [n, Z]; above 176 it counts as 176.
    ///   - noise: the random stream of an image's Z standard normal numbers, by its index in the global batch.
    package func gaussianSample(
        mean: Variable, logVariance: Variable, noise: (_ index: Int) -> RandomStream
    ) -> Variable {
        let offset = device.tensor(mean.shape)  // e^(logVariance/2)·noise
        offset.setToExponential(of: logVariance.value, times: 0.5)
        for i in 0..<mean.shape[0] {
            var stream = noise(shares.first + i)
            let row = offset.matrix.row(i)
            for c in 0..<offset.matrix.columns { row[c] *= stream.normal() }
        }
        let z = device.tensor(mean.shape)
        z.setToSum(of: mean.value, offset, times: 1)
        return record(z, from: [mean, logVariance]) { [unowned self] dz in
            if needsGradient(logVariance) {
                offset.multiply(by: dz)
                offset.scale(by: 0.5)
                pass(offset, to: logVariance)
            }
            pass(dz, to: mean)
        }
    }

    /// KL(N(mean, e^logVariance) || N(0, I)) = ½·sum of e^logVariance + mean² - 1 - logVariance over dimensions, in
    /// nats (Kingma & Welling 2014, appendix B). It is the mean over the global batch, as this rank's part of the sum,
    /// a scalar.
    ///
    /// - Parameters:
    ///   - mean: [n, Z], a row for each image of this rank.
    ///   - logVariance: [n, Z]; above 88 its exponential counts as e^88.
    package func gaussianDivergence(mean: Variable, logVariance: Variable) -> Variable {
        let scale = 1 / Double(max(shares.total, 1))
        let byLogVariance = device.tensor(mean.shape)  // first the variance itself
        byLogVariance.setToExponential(of: logVariance.value, times: 1)
        let byMean = device.tensor(mean.shape)
        let (m, l, dm, dl) = (mean.value.base, logVariance.value.base, byMean.base, byLogVariance.base)
        let factor = Float(scale)
        var sum = 0.0
        for i in 0..<mean.value.count {
            sum += Double(dl[i]) + Double(m[i]) * Double(m[i]) - 1 - Double(l[i])
            dm[i] = factor * m[i]
            dl[i] = 0.5 * factor * (dl[i] - 1)
        }
        return recordLoss(0.5 * scale * sum, gradients: [(mean, byMean), (logVariance, byLogVariance)])
    }

    /// The negative logarithm of a Bernoulli likelihood, summed over pixels, in nats. It is the mean over the global
    /// batch, as this rank's part of the sum, a scalar. It is finite for logits of any size.
    ///
    /// - Parameters:
    ///   - logits: [n, ...], a row for each image of this rank.
    ///   - target: pixels in 0...1, of the same shape.
    package func bernoulliLoss(_ logits: Variable, target: Tensor) -> Variable {
        let scale = 1 / Double(max(shares.total, 1))
        let images = [logits.shape[0], logits.shape.dropFirst().reduce(1, *)]
        let slopes = device.tensor(logits.shape)
        slopes.copy(from: logits.value)
        let sum = slopes.reshaped(images).matrix.replaceByBernoulliSlopes(
            target: target.reshaped(images).matrix, scale: Float(scale))
        return recordLoss(sum * scale, gradients: [(logits, slopes)])
    }
}
