import Autodiff
import Collectives
import Tensors

extension Tape {
    /// The loss of a critic that separates samples of P from samples of Q, as this rank's part of the sum over ranks, a
    /// scalar: E_Q[negative] - E_P[positive], or ln E_Q[e^T] - E_P[T] for `donskerVaradhan`. Means are over the samples
    /// of all ranks; a rank may have none. Collective.
    ///
    /// - Parameters:
    ///   - estimator: any but `infoNCE`, which pairs its samples.
    ///   - positives: scores of this rank's samples of P, any shape.
    ///   - negatives: scores of this rank's samples of Q, any shape.
    package func twoSampleLoss(_ estimator: Estimator, positives: Variable, negatives: Variable) throws -> Variable {
        let counts = try ranks.sum([positives.value.count, negatives.value.count]).map { max($0, 1) }
        switch estimator.form {
        case .divergence(let divergence):
            let gain = expectation(of: positives, count: counts[0]) { divergence.positive($0) }
            let cost = expectation(of: negatives, count: counts[1]) { divergence.negative($0) }
            return weightedSum([(cost, 1), (gain, -1)])
        case .donskerVaradhan:
            let gain = expectation(of: positives, count: counts[0]) { ($0, 1) }
            return weightedSum([(try logMeanExponential(negatives, count: counts[1]), 1), (gain, -1)])
        case .infoNCE: preconditionFailure("infoNCE pairs its samples: use contrastiveLoss")
        }
    }

    /// -E[positive(score)], as this rank's part of the sum: the loss of a generator that doesn't saturate (Goodfellow
    /// et al. 2014, section 3). Collective.
    package func generatorLoss(_ divergence: Divergence, scores: Variable) throws -> Variable {
        let count = max(try ranks.sum([scores.value.count])[0], 1)
        return expectation(of: scores, count: count) { u in
            let (value, slope) = divergence.positive(u)
            return (-value, -slope)
        }
    }

    /// This rank's part of the mean of a function over `count` scores of all ranks.
    private func expectation(
        of scores: Variable, count: Int, _ function: (Double) -> (value: Double, slope: Double)
    ) -> Variable {
        let slopes = device.tensor(scores.shape)
        var sum = 0.0
        for (i, score) in scores.value.elements.enumerated() {
            let (value, slope) = function(Double(score))
            sum += value
            slopes.base[i] = Float(slope / Double(count))
        }
        return recordLoss(sum / Double(count), gradients: [(scores, slopes)])
    }

    /// This rank's part of ln of the mean of e^score over all ranks, in proportion to its number of scores.
    private func logMeanExponential(_ scores: Variable, count: Int) throws -> Variable {
        var largest = [scores.value.elements.max() ?? emptyMaximum]
        try largest.withUnsafeMutableBufferPointer { try ranks.maximum($0) }
        let maximum = Double(largest[0])
        let weights = scores.value.elements.map { (Double($0) - maximum).exponential }
        let sum = try ranks.sum([weights.reduce(0, +)])[0]
        let value = maximum + (sum / Double(count)).logarithm
        return recordLoss(
            value * Double(scores.value.count) / Double(count),
            gradients: [(scores, device.tensor(scores.shape, weights.map { Float($0 / sum) }))])
    }
}
