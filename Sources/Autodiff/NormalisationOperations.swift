import Collectives
import Tensors

/// The rows whose statistics batch normalisation uses.
package enum BatchNormScope: String, Choice {
    /// The rows of all ranks: results don't depend on the number of ranks.
    case sync
    /// The rows of this rank: less communication, but results depend on the number of ranks.
    case local

    /// Help text of a setting of this type.
    package static let help = "statistics over all ranks (sync), or over each rank alone (local)"
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
    /// - Parameters:
    ///   - skip: added before the rectifier, of x's shape: the end of a residual block (He et al. 2016, equation 1).
    ///   - fixed: statistics to use instead of the batch's.
    /// - Returns: y, and the batch's statistics with their number of rows; the variance is the biased one. nil where
    ///   the statistics are fixed, or an earlier micro-batch has returned them.
    package func batchNorm(
        _ x: Variable, scale: Variable, shift: Variable, rectified: Bool, scope: BatchNormScope,
        adding skip: Variable? = nil, fixed: ChannelStatistics? = nil
    ) throws -> (y: Variable, batch: (statistics: ChannelStatistics, rows: Int)?) {
        let input = x.value.matrix
        let channels = input.columns
        var rows = input.rows
        let statistics: ChannelStatistics
        let index = batchNorms
        batchNorms += 1
        var isNew = fixed == nil
        if let fixed {
            statistics = fixed
        } else {
            let own = { input.channelMoments() + [Double(input.rows)] }
            let moments: [Double]
            if let normalisation = options.normalisation {
                (moments, isNew) = try normalisation.forward.whole(index, scope: scope, own: own)
            } else {
                moments = scope == .sync ? try ranks.sum(own()) : own()
            }
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
        y.matrix.setAffine(
            of: input, scale: factor, shift: offset, rectified: rectified, adding: skip?.value.matrix)
        device.timeline?.count(bytes: (skip == nil ? 3 : 4) * 4 * y.count)

        let result = record(y, from: [x, scale, shift] + (skip.map { [$0] } ?? [])) { [unowned self] dy in
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
            if fixed == nil {
                if let normalisation = options.normalisation {
                    total = try normalisation.backward.whole(index, scope: scope) { own }.sums
                } else {
                    total = scope == .sync ? try ranks.sum(own) : own
                }
            }
            // dx = factor·(dy - sum(dy)/R - (x - mean)·inverse²·sum(dy·(x - mean))/R), R rows
            let count = Double(max(rows, 1))
            let slope = (0..<channels).map { c -> Float in
                let squared = Double(inverse[c]) * Double(inverse[c])
                return Float(-Double(factor[c]) * squared * total[channels + c] / count)
            }
            let constant = (0..<channels).map { c in
                -factor[c] * Float(total[c] / count) - slope[c] * statistics.mean[c]
            }
            // The gradient by the skip is the masked dy itself.
            let dx = skip.map(needsGradient) ?? false ? device.tensor(x.shape) : dy
            dx.matrix.setCombination(of: gradient, factor, with: x.value.matrix, slope, constant)
            device.timeline?.count(bytes: 7 * 4 * y.count)
            pass(dx, to: x)
            if let skip { pass(dy, to: skip) }
        }
        return (result, isNew ? (statistics, rows) : nil)
    }
}
