extension Tensor {
    /// Adds another tensor's elements, times `factor`.
    package func add(_ other: Tensor, times factor: Float = 1) {
        let (a, b) = (base, other.base)
        for i in 0..<count { a[i] += factor * b[i] }
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

    /// Sets negative elements to 0.
    package func rectify() {
        let a = base
        for i in 0..<count { a[i] = max(a[i], 0) }
    }

    /// Replaces each element x by tanh x, with an absolute error below 2e-7.
    package func replaceByHyperbolicTangent() {
        base.replaceVectors(count: count) { x, _ in 1 - 2 / (exponential(x + x) + 1) }
    }

    /// True when every element is finite: 0·x is 0 for finite x only.
    package var isFinite: Bool {
        var sums = Vector(repeating: 0)
        let whole = count & ~15
        for i in Swift.stride(from: 0, to: whole, by: 16) { sums += base.vector(at: i) * 0 }
        var sum = sums.sum()
        for i in whole..<count { sum += base[i] * 0 }
        return sum == 0
    }
}
