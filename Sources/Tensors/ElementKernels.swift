import CVector

extension Tensor {
    /// Adds another tensor's elements, times `factor`.
    package func add(_ other: Tensor, times factor: Float = 1) {
        let (a, b) = (base, other.base)
        inParallel(count, step: 16) { for i in $0 { a[i] += factor * b[i] } }
    }

    /// Sets this tensor to x + factor·y, all of equal shapes.
    package func setToSum(of x: Tensor, _ y: Tensor, times factor: Float) {
        let (a, b, c) = (base, x.base, y.base)
        inParallel(count, step: 16) { for i in $0 { a[i] = b[i] + factor * c[i] } }
    }

    /// Multiplies by another tensor's elements.
    package func multiply(by other: Tensor) {
        let (a, b) = (base, other.base)
        for i in 0..<count { a[i] *= b[i] }
    }

    package func scale(by factor: Float) {
        let a = base
        for i in 0..<count { a[i] *= factor }
    }

    /// x ← kept·x + (1 - kept)·y, of equal shapes.
    package func moveTowards(_ y: Tensor, keeping kept: Float) {
        let (a, b) = (base, y.base)
        inParallel(count, step: 16) { for i in $0 { a[i] = kept * a[i] + (1 - kept) * b[i] } }
    }

    /// Sets negative elements to 0.
    package func rectify() {
        let a = base
        inParallel(count, step: 16) { for i in $0 { a[i] = max(a[i], 0) } }
    }

    /// Multiplies by `factor` where another tensor's element is not positive. The other may be this one.
    package func scale(by factor: Float, whereNotPositive other: Tensor) {
        let (a, b) = (base, other.base)
        inParallel(count, step: 16) { for i in $0 { a[i] = b[i] > 0 ? a[i] : factor * a[i] } }
    }

    /// e^(factor·x) of each element of x, of the same shape; an exponent above 88 counts as 88.
    package func setToExponential(of x: Tensor, times factor: Float) {
        let input = x.base
        base.replaceVectors(count: count) { _, i in
            exponential(factor * input.part(at: i, count: count, filler: 0))
        }
    }

    /// Replaces each element x by tanh x, with an absolute error below 2e-7.
    package func replaceByHyperbolicTangent() {
        base.replaceVectors(count: count) { x, _ in 1 - 2 / (exponential(x + x) + 1) }
    }

    /// True when every element is finite: 0·x is 0 for finite x only. Four parts are read side by side, which a core does
    /// faster than one stream.
    package var isFinite: Bool {
        let part = count / 64 * 16
        var sums = (Vector(repeating: 0), Vector(repeating: 0), Vector(repeating: 0), Vector(repeating: 0))
        for i in Swift.stride(from: 0, to: part, by: 16) {
            sums.0 += base.vector(at: i) * 0
            sums.1 += base.vector(at: part + i) * 0
            sums.2 += base.vector(at: 2 * part + i) * 0
            sums.3 += base.vector(at: 3 * part + i) * 0
        }
        var sum = (sums.0 + sums.1 + sums.2 + sums.3).sum()
        for i in 4 * part..<count { sum += base[i] * 0 }
        return sum == 0
    }
}

/// m = β₁m + (1 - β₁)g, v = β₂v + (1 - β₂)g², value = kept·value - step·m/(sqrt(v·inverse2) + ε), for the elements of a
/// range of whole vectors of 16: Adam (Kingma & Ba 2015, algorithm 1) in one pass over memory. With kept below 1 its
/// weights decay (Loshchilov & Hutter 2019, algorithm 2).
package func updateAdam(
    _ value: UnsafeMutablePointer<Float>, gradient: UnsafeMutablePointer<Float>, mean: UnsafeMutablePointer<Float>,
    square: UnsafeMutablePointer<Float>, in range: Range<Int>, beta1: Float, beta2: Float, kept: Float, step: Float,
    inverse2: Float, epsilon: Float
) {
    inParallel(range.count, step: 16) { part in
        let part = range.lowerBound + part.lowerBound..<range.lowerBound + part.upperBound
        for i in stride(from: part.lowerBound, to: part.upperBound, by: 16) {
            let g = gradient.vector(at: i)
            let m = beta1 * mean.vector(at: i) + (1 - beta1) * g
            let v = beta2 * square.vector(at: i) + (1 - beta2) * g * g
            mean.store(m, at: i)
            square.store(v, at: i)
            let change = step * m / (cvector_square_root(v * inverse2) + epsilon)
            value.store(kept * value.vector(at: i) - change, at: i)
        }
    }
}

/// g = ratio·(gradient + decay·value), m = kept·m + g, value -= rate·m, or rate·(g + kept·m) where it looks ahead, for
/// the elements of a range of whole vectors of 16: gradient descent with momentum in one pass over memory.
package func updateByMomentum(
    _ value: UnsafeMutablePointer<Float>, gradient: UnsafeMutablePointer<Float>, momentum: UnsafeMutablePointer<Float>,
    in range: Range<Int>, decay: Float, ratio: Float, kept: Float, rate: Float, looksAhead: Bool
) {
    // w -= rate·(own·g + past·m)
    let (own, past): (Float, Float) = looksAhead ? (1, kept) : (0, 1)
    inParallel(range.count, step: 16) { part in
        let part = range.lowerBound + part.lowerBound..<range.lowerBound + part.upperBound
        for i in stride(from: part.lowerBound, to: part.upperBound, by: 16) {
            let w = value.vector(at: i)
            let g = ratio * (gradient.vector(at: i) + decay * w)
            let m = kept * momentum.vector(at: i) + g
            momentum.store(m, at: i)
            value.store(w - rate * (own * g + past * m), at: i)
        }
    }
}

/// Sets `destination` in `range`, of whole vectors of 16, to the sum of the sources in their order; it may be one of
/// them. Returns whether every sum is finite.
package func setToSum(
    of sources: [UnsafeMutablePointer<Float>], in range: Range<Int>, _ destination: UnsafeMutablePointer<Float>
) -> Bool {
    let checks = sumInParallel(range.count / 16, width: 1, elements: 16) { part, check in
        var zeros = Vector(repeating: 0)  // 0·x is 0 for finite x only
        for block in part {
            let i = range.lowerBound + 16 * block
            var sum = sources[0].vector(at: i)
            for k in 1..<max(sources.count, 1) { sum += sources[k].vector(at: i) }
            destination.store(sum, at: i)
            zeros += sum * 0
        }
        check[0] += Double(zeros.sum())
    }
    return checks[0] == 0
}
