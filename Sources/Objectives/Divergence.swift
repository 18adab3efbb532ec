import Tensors

/// An f-divergence between two distributions P and Q in its variational form: the largest value over critics T of
/// E_P[positive(T)] - E_Q[negative(T)] (Nguyen et al. 2010; Nowozin et al. 2016, equation 4 and table 2).
package enum Divergence: CaseIterable, Sendable {
    /// 2·JS(P, Q), for the critic ln p/q; shifted so that the critic 0 gives 0.
    case jensenShannon
    /// KL(P, Q), for the critic 1 + ln p/q.
    case kullbackLeibler
    /// KL(Q, P), for the critic ln p/q.
    case reverseKullbackLeibler
    /// 2 - 2·sum of sqrt(pq), for the critic ½ ln p/q.
    case squaredHellinger
    /// The sum of (p - q)²/q, for the critic 2(p/q - 1).
    case pearsonChiSquared
    /// 2·JS(P, Q) - 2 ln 2, for the critic ln p/q: the loss of generative adversarial networks.
    case gan

    /// The gain of a score of P, and its slope. Beyond `largestExponent`, exponentials continue as tangents.
    package func positive(_ u: Double) -> (value: Double, slope: Double) {
        switch self {
        case .jensenShannon: ((2.0).logarithm - .softplus(-u), .sigmoid(-u))
        case .kullbackLeibler, .pearsonChiSquared: (u, 1)
        case .reverseKullbackLeibler: (-boundedExponential(-u).value, boundedExponential(-u).slope)
        case .squaredHellinger: (1 - boundedExponential(-u).value, boundedExponential(-u).slope)
        case .gan: (-.softplus(-u), .sigmoid(-u))
        }
    }

    /// The cost of a score of Q, and its slope.
    package func negative(_ u: Double) -> (value: Double, slope: Double) {
        let (value, slope) =
            switch self {
            case .jensenShannon, .gan: (Double.softplus(u), Double.sigmoid(u))
            case .kullbackLeibler: boundedExponential(u - 1)
            case .reverseKullbackLeibler: (u, 1)
            case .squaredHellinger: boundedExponential(u)
            case .pearsonChiSquared: (u * (u / 4 + 1), u / 2 + 1)
            }
        return (value + negativeConstant, slope)
    }

    /// The part of `negative` that doesn't depend on the score.
    var negativeConstant: Double {
        switch self {
        case .jensenShannon: -(2.0).logarithm
        case .reverseKullbackLeibler, .squaredHellinger: -1
        case .kullbackLeibler, .pearsonChiSquared, .gan: 0
        }
    }

    /// A score that adds nothing to the sum of `replaceByNegativeSlopes`.
    var neutralScore: Float {
        switch self {
        case .jensenShannon, .gan, .kullbackLeibler, .squaredHellinger: excludedScore
        case .reverseKullbackLeibler, .pearsonChiSquared: 0
        }
    }

    /// Replaces every score of a tile by `scale` times the slope of `negative` there; returns the sum of `negative`
    /// without its constant.
    func replaceByNegativeSlopes(_ tile: Matrix, scale: Float) -> Double {
        switch self {
        case .jensenShannon, .gan: tile.replaceBySigmoid(scale: scale)
        case .kullbackLeibler: tile.replaceByBoundedExponential(shift: -1, scale: scale)
        case .squaredHellinger: tile.replaceByBoundedExponential(shift: 0, scale: scale)
        case .reverseKullbackLeibler: tile.replaceByLinearSlope(scale: scale)
        case .pearsonChiSquared: tile.replaceByQuadraticSlope(scale: scale)
        }
    }
}

/// e^x and its slope; beyond `largestExponent` the tangent at that exponent.
private func boundedExponential(_ x: Double) -> (value: Double, slope: Double) {
    let e = min(x, largestExponent).exponential
    return (e * (1 + max(x - largestExponent, 0)), e)
}
