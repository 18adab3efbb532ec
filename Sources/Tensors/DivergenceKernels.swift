// Passes over scores of the product distribution for f-divergences: values become slopes, sums are returned.

/// Beyond this exponent e^x continues as its tangent. So scores of any size have finite losses and gradients, and
/// Adam's squares of the gradients stay finite too: (e^40)² is 6e34.
package let largestExponent = 40.0

extension Matrix {
    /// Replaces every score u by `scale`·E'(u + shift) and returns the sum of E(u + shift), where E(x) is e^x up to
    /// `largestExponent` and its tangent there beyond.
    package func replaceByBoundedExponential(shift: Float, scale: Float) -> Double {
        let limit = Vector(repeating: Float(largestExponent))
        return sumInParallel(rows, width: 1, elements: columns) { part, total in
            for r in part {
                var sums = Vector(repeating: 0)
                row(r).replaceVectors(count: columns, filler: excludedScore) { u, _ in
                    let x = u + shift
                    let e = exponential(smaller(x, limit))
                    sums += e + e * larger(x - limit, Vector(repeating: 0))
                    return e * scale
                }
                total[0] += Double(sums.sum())
            }
        }[0]
    }

    /// Replaces every score u by `scale`·(u/2 + 1) and returns the sum of u²/4 + u.
    package func replaceByQuadraticSlope(scale: Float) -> Double {
        sumInParallel(rows, width: 1, elements: columns) { part, total in
            for r in part {
                var sums = Vector(repeating: 0)
                row(r).replaceVectors(count: columns, filler: 0) { u, _ in
                    sums += u * (u * 0.25 + 1)
                    return (u * 0.5 + 1) * scale
                }
                total[0] += Double(sums.sum())
            }
        }[0]
    }

    /// Replaces every score by `scale` and returns the sum of the scores.
    package func replaceByLinearSlope(scale: Float) -> Double {
        sumInParallel(rows, width: 1, elements: columns) { part, total in
            for r in part {
                var sums = Vector(repeating: 0)
                row(r).replaceVectors(count: columns, filler: 0) { u, _ in
                    sums += u
                    return Vector(repeating: scale)
                }
                total[0] += Double(sums.sum())
            }
        }[0]
    }

    /// Adds another matrix of the same size.
    package func add(_ other: Matrix) {
        inParallel(rows, elements: columns) { part in
            for r in part {
                let source = other.row(r)
                row(r).replaceVectors(count: columns) { x, i in x + source.part(at: i, count: columns, filler: 0) }
            }
        }
    }
}
