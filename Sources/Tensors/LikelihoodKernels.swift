// Passes over the logits of a likelihood: values become slopes, sums are returned.

extension Matrix {
    /// Replaces every logit u by `scale`·(sigmoid(u) - t), with t the same element of `target`. Returns the sum of
    /// -t·ln sigmoid(u) - (1 - t)·ln sigmoid(-u) = max(u, 0) - t·u + ln(1 + e^-|u|), the cross entropy of Bernoulli
    /// variables, summed for each row separately. t is in 0...1; other values continue linearly.
    package func replaceByBernoulliSlopes(target: Matrix, scale: Float) -> Double {
        sumInParallel(rows, width: 1, elements: columns) { part, total in
            for r in part {
                let targets = target.row(r)
                var sums = Vector(repeating: 0)
                row(r).replaceVectors(count: columns, filler: excludedScore) { u, c in
                    let t = targets.part(at: c, count: columns, filler: 0)
                    let positive = larger(u, Vector(repeating: 0))
                    let e = exponential(u - positive - positive)  // e^-|u|
                    sums += positive - t * u + logarithmOfOnePlus(e)
                    return (Vector(repeating: 1).replacing(with: e, where: u .< 0) / (e + 1) - t) * scale
                }
                total[0] += Double(sums.sum())
            }
        }[0]
    }
}
