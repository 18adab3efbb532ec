/// The floats that kernels process at once.
typealias Vector = SIMD16<Float>

/// The larger of both in each lane; `a` where either is NaN. Swift's `pointwiseMax` works lane by lane.
@inline(__always)
func larger(_ a: Vector, _ b: Vector) -> Vector { a.replacing(with: b, where: a .< b) }

/// The smaller of both in each lane; `a` where either is NaN.
@inline(__always)
func smaller(_ a: Vector, _ b: Vector) -> Vector { a.replacing(with: b, where: a .> b) }

/// e^x. Relative error below 1e-7 for x in -87.3...88; 0 below; x above 88 counts as 88.
///
/// x = n ln 2 + r with |r| <= ln 2 / 2; e^r by a polynomial (coefficients of Cephes' expf), 2^n by its bit pattern.
@inline(__always)
func exponential(_ x: Vector) -> Vector {
    let bounded = smaller(larger(x, Vector(repeating: -87.3)), Vector(repeating: 88))
    let shifted = bounded * 1.442_695_04 + 12_582_912  // adding 1.5 * 2^23 rounds to an integer, held in the low bits
    let n = shifted - 12_582_912
    let r = bounded - n * 0.693_359_375 + n * 2.121_944_4e-4
    var polynomial = r * 1.987_569_2e-4 + 1.398_199_95e-3
    polynomial = polynomial * r + 8.333_452e-3
    polynomial = polynomial * r + 4.166_579_6e-2
    polynomial = polynomial * r + 1.666_666_5e-1
    polynomial = polynomial * r + 5.000_000_1e-1
    let power = unsafeBitCast((unsafeBitCast(shifted, to: SIMD16<Int32>.self) &+ 127) &<< 23, to: Vector.self)
    let result = (polynomial * r * r + r + 1) * power
    return result.replacing(with: 0, where: x .< -87.3)
}

/// ln(1 + y) for y in 0...1. Absolute error below 5e-8.
///
/// 1 + y = 2^n m with m in [sqrt(1/2), sqrt 2); ln m by a polynomial (coefficients of Cephes' logf).
@inline(__always)
func logarithmOfOnePlus(_ y: Vector) -> Vector {
    let large = y .> 0.414_213_56
    // m - 1, formed without rounding 1 + y: (y - 1) / 2 when 1 + y is halved.
    let m = y.replacing(with: y * 0.5 - 0.5, where: large)
    let n = Vector(repeating: 0).replacing(with: 1, where: large)
    let square = m * m
    var polynomial = m * 7.037_683_6e-2 - 1.151_461e-1
    polynomial = polynomial * m + 1.167_699_9e-1
    polynomial = polynomial * m - 1.242_014_1e-1
    polynomial = polynomial * m + 1.424_932_3e-1
    polynomial = polynomial * m - 1.666_805_8e-1
    polynomial = polynomial * m + 2.000_071_5e-1
    polynomial = polynomial * m - 2.499_999_4e-1
    polynomial = polynomial * m + 3.333_333_1e-1
    return polynomial * m * square - square * 0.5 + m + n * 0.693_147_18
}

extension UnsafeMutablePointer<Float> {
    /// Sixteen floats from `index` on; no alignment is needed.
    @inline(__always)
    func vector(at index: Int) -> Vector { UnsafeRawPointer(self + index).loadUnaligned(as: Vector.self) }

    @inline(__always)
    func store(_ value: Vector, at index: Int) {
        UnsafeMutableRawPointer(self + index).storeBytes(of: value, as: Vector.self)
    }

    /// Up to fifteen floats from `index` on, the rest set to `filler`.
    @inline(__always)
    func partialVector(at index: Int, count: Int, filler: Float) -> Vector {
        var result = Vector(repeating: filler)
        for lane in 0..<count { result[lane] = self[index + lane] }
        return result
    }

    @inline(__always)
    func storePartial(_ value: Vector, at index: Int, count: Int) {
        for lane in 0..<count { self[index + lane] = value[lane] }
    }

    /// Replaces `count` elements, sixteen at a time, by the result of `body`, which gets them and their index.
    @inline(__always)
    func replaceVectors(count: Int, filler: Float = 0, _ body: (Vector, Int) -> Vector) {
        let whole = count & ~15
        var i = 0
        while i < whole {
            store(body(vector(at: i), i), at: i)
            i += 16
        }
        if whole < count {
            let rest = count - whole
            storePartial(
                body(partialVector(at: whole, count: rest, filler: filler), whole), at: whole, count: rest)
        }
    }
}
