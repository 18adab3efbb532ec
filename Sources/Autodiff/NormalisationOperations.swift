import Collectives
import Tensors

/// Over which rows batch normalisation takes its statistics.
package enum BatchNormScope: String, Codable, CaseIterable, Sendable {
    /// Those of all ranks: results don't depend on the number of ranks.
    case sync
    /// Those of this rank: less communication, another result for another number of ranks.
    case local
}

/// Mean and variance by channel.
package struct ChannelStatistics {
    package var mean: [Float]
    package var variance: [Float]

    package init(mean: [Float], variance: [Float]) {
        self.mean = mean
        self.variance = variance
    }
}

/// Added to variances (the default of PyTorch and of the published code).
package let batchNormEpsilon = 1e-5

extension Tape {
    /// y = scale·(x - mean)/sqrt(variance + 1e-5) + shift by channel, then max(y, 0) when rectified
    /// (Ioffe & Szegedy 2015). x is [..., C]; rows are all other axes. Collective in `sync` scope.
    ///
    /// - Parameter fixed: statistics to use instead of the batch's.
    /// - Returns: y, and the statistics used; the variance is the biased one.
    package func batchNorm(
        _ x: Variable, scale: Variable, shift: Variable, rectified: Bool, scope: BatchNormScope,
        fixed: ChannelStatistics? = nil
    ) throws -> (y: Variable, statistics: ChannelStatistics, rows: Int) {
        let input = x.value.matrix
        let channels = input.columns
        var rows = input.rows
        let statistics: ChannelStatistics
        if let fixed {
            statistics = fixed
        } else {
            var moments = input.channelMoments() + [Double(rows)]
            if scope == .sync { moments = try ranks.sum(moments) }
            rows = Int(moments[2 * channels])
            let count = Double(max(rows, 1))
            let means = moments[..<channels].map { $0 / count }
            let variances = zip(moments[channels..<2 * channels], means).map { max($0 / count - $1 * $1, 0) }
            statistics = ChannelStatistics(mean: means.map { Float($0) }, variance: variances.map { Float($0) })
        }
        let inverse = statistics.variance.map { Float(1 / (Double($0) + batchNormEpsilon).squareRoot()) }
        let factor = zip(scale.value.elements, inverse).map { $0 * $1 }
        let offset = (0..<channels).map { shift.value.base[$0] - statistics.mean[$0] * factor[$0] }
        let y = device.tensor(x.shape)
        y.matrix.setAffine(of: input, scale: factor, shift: offset, rectified: rectified)
        device.timeline?.count(bytes: 3 * 4 * y.count)

        let result = record(y, from: [x, scale, shift]) { [unowned self] dy in
            let gradient = dy.matrix
            // own = [sum of dy, sum of dy·(x - mean)] over this rank's rows; total over all rows of the statistics
            let own = gradient.maskAndSum(
                output: y.matrix, input: x.value.matrix, mean: statistics.mean, rectified: rectified)
            pass(to: shift) { d, adding in
                for c in 0..<channels { d.base[c] = Float(own[c]) + (adding ? d.base[c] : 0) }
            }
            pass(to: scale) { d, adding in
                for c in 0..<channels {
                    d.base[c] = Float(own[channels + c]) * inverse[c] + (adding ? d.base[c] : 0)
                }
            }
            var total = [Double](repeating: 0, count: 2 * channels)
            if fixed == nil { total = scope == .sync ? try ranks.sum(own) : own }
            // dx = factor·(dy - sum(dy)/R - (x - mean)·inverse²·sum(dy·(x - mean))/R), R rows
            let count = Double(max(rows, 1))
            let slope = (0..<channels).map { c -> Float in
                let squared = Double(inverse[c]) * Double(inverse[c])
                return Float(-Double(factor[c]) * squared * total[channels + c] / count)
            }
            let constant = (0..<channels).map { c in
                -factor[c] * Float(total[c] / count) - slope[c] * statistics.mean[c]
            }
            gradient.combine(with: x.value.matrix, factor, slope, constant)
            device.timeline?.count(bytes: 7 * 4 * y.count)
            pass(dy, to: x)
        }
        return (result, statistics, rows)
    }

    /// y = max(scale·(z - mean z)/sqrt(var z + 1e-5) + shift, 0) with z = x·wᵀ, the statistics being those of the
    /// global batch, without ever forming z. x is [..., C], w [U, C], scale and shift [U]; y is [..., U]. Collective.
    ///
    /// With μ and Σ the mean and covariance of x's rows: mean z = Wμ and var z = diag(WΣWᵀ), so the normalisation
    /// folds into the weights, y = max(W̃x + b̃, 0), W̃ = s∘W, b̃ = shift - W̃μ, s = scale/sqrt(var z + ε).
    /// Synchronising it costs C + C² numbers (design 4.3).
    package func momentNormalisedLinear(
        _ x: Variable, weight w: Variable, scale: Variable, shift: Variable, scope: BatchNormScope
    ) throws -> Variable {
        let input = x.value.matrix
        let (units, channels) = (w.shape[0], w.shape[1])
        let summed: ([Double]) throws -> [Double] = { [unowned self] in scope == .sync ? try ranks.sum($0) : $0 }

        // μ [C], then x - μ [R, C] and Σ [C, C]: centred first, so that nothing cancels
        let sums = try summed(Array(input.channelMoments()[..<channels]) + [Double(input.rows)])
        let count = max(sums[channels], 1)
        let mean = device.tensor([channels], sums[..<channels].map { Float($0 / count) })
        let centred = device.tensor(x.shape)
        centred.matrix.setAffine(
            of: input, scale: Array(repeating: 1, count: channels), shift: mean.elements.map { -$0 }, rectified: false)
        let covariance = device.tensor([channels, channels])
        try multiply(centred.matrix.transposed, centred.matrix, into: covariance.matrix)
        _ = covariance.elements.update(
            fromContentsOf: try summed(covariance.elements.map(Double.init)).map { Float($0 / count) })

        // WΣ [U, C]; variance [U]; W̃ [U, C]; b̃ [U]
        let weightCovariance = device.tensor([units, channels])
        try multiply(w.value.matrix, covariance.matrix, into: weightCovariance.matrix)
        let inverse = device.tensor([units])  // 1/sqrt(var z + ε)
        let folded = device.tensor([units, channels])
        let bias = device.tensor([units])
        for u in 0..<units {
            let (row, product, out) = (w.value.matrix.row(u), weightCovariance.matrix.row(u), folded.matrix.row(u))
            let variance = (0..<channels).reduce(0.0) { $0 + Double(row[$1]) * Double(product[$1]) }
            inverse.base[u] = Float(1 / (max(variance, 0) + batchNormEpsilon).squareRoot())
            let factor = scale.value.base[u] * inverse.base[u]
            for c in 0..<channels { out[c] = row[c] * factor }
            let projected = (0..<channels).reduce(0.0) { $0 + Double(out[$1]) * Double(mean.base[$1]) }
            bias.base[u] = shift.value.base[u] - Float(projected)
        }
        let y = device.tensor(x.shape.dropLast() + [units])
        try multiply(input, folded.matrix.transposed, into: y.matrix)
        y.matrix.addBiasAndRectify(bias.base)

        return record(y, from: [x, w, scale, shift]) { [unowned self] dy in
            dy.matrix.mask(wherePositive: y.matrix)
            // Through W̃ centred on μ: y = max(W̃(x - μ) + shift, 0), so dW̃ = dyᵀ(x - μ) and db̃ = sum dy.
            let dFolded = device.tensor([units, channels])
            try multiply(dy.matrix.transposed, centred.matrix, into: dFolded.matrix)
            let dBias = dy.matrix.columnSums()
            pass(to: shift) { d, adding in
                for u in 0..<units { d.base[u] = Float(dBias[u]) + (adding ? d.base[u] : 0) }
            }
            // ds [U] = dW̃·W; dvar = -ds·scale·inverse³/2; dW = s∘dW̃ + 2·dvar∘WΣ; dΣ = Wᵀ(dvar∘W)
            let dVariance = device.tensor([units])
            let dScale = device.tensor([units])
            let weighted = device.tensor([units, channels])  // dvar∘W
            for u in 0..<units {
                let (row, d) = (w.value.matrix.row(u), dFolded.matrix.row(u))
                let along = (0..<channels).reduce(0.0) { $0 + Double(row[$1]) * Double(d[$1]) }
                let r = Double(inverse.base[u])
                dScale.base[u] = Float(along * r)
                dVariance.base[u] = Float(-along * Double(scale.value.base[u]) * r * r * r / 2)
                for c in 0..<channels { weighted.matrix.row(u)[c] = dVariance.base[u] * row[c] }
            }
            pass(dScale, to: scale)
            pass(to: w) { dw, adding in
                for u in 0..<units {
                    let (out, d, product) = (dw.matrix.row(u), dFolded.matrix.row(u), weightCovariance.matrix.row(u))
                    let factor = scale.value.base[u] * inverse.base[u]
                    for c in 0..<channels {
                        out[c] = (adding ? out[c] : 0) + factor * d[c] + 2 * dVariance.base[u] * product[c]
                    }
                }
            }
            guard needsGradient(x) else { return }
            // dx = dy·W̃ - mean over all rows of (dy·W̃) + (2/R)·(x - μ)·dΣ. The last two sum over all ranks' rows.
            let dCovariance = device.tensor([channels, channels])
            try multiply(w.value.matrix.transposed, weighted.matrix, into: dCovariance.matrix)
            let dMean = (0..<channels).map { c in
                (0..<units).reduce(0.0) { $0 - dBias[$1] * Double(folded.matrix.row($1)[c]) }
            }
            let total = try summed(dCovariance.elements.map(Double.init) + dMean)
            for i in 0..<channels * channels { dCovariance.base[i] = Float(2 * total[i] / count) }
            let constant = device.tensor([channels], total[(channels * channels)...].map { Float($0 / count) })
            try pass(to: x) { dx, adding in
                try multiply(dy.matrix, folded.matrix, into: dx.matrix, adding: adding)
                try multiply(centred.matrix, dCovariance.matrix, into: dx.matrix, adding: true)
                dx.matrix.addToRows(constant.base)
            }
        }
    }
}
