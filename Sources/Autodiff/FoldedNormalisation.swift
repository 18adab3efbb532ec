import Collectives
import Tensors

extension Tape {
    /// y = max(scale·(z - mean z)/sqrt(var z + 1e-5) + shift, 0) with z = x·wᵀ, the statistics being those of the
    /// global batch, without ever forming z. x is [..., C], w [U, C], scale and shift [U]; y is [..., U]. Collective.
    package func momentNormalisedLinear(
        _ x: Variable, weight w: Variable, scale: Variable, shift: Variable, scope: BatchNormScope
    ) throws -> Variable {
        let layer = try foldedNormalisation(of: x, weight: w, scale: scale, shift: shift, scope: scope)
        return try rectifiedLinear(x, layer: layer)
    }

    /// y = max(W̃x + b̃, 0) with [W̃ b̃] the layer. x is [..., C], the layer [U, C + 1]; y is [..., U].
    package func rectifiedLinear(_ x: Variable, layer: Variable) throws -> Variable {
        let folded = RectifiedLayer(layer.value, device: device)
        let y = device.tensor(x.shape.dropLast() + [folded.units])
        try multiply(x.value.matrix, folded.weight.transposed, into: y.matrix)
        y.matrix.addBiasAndRectify(folded.bias.base)
        return record(y, from: [x, layer]) { [unowned self] dy in
            dy.matrix.mask(wherePositive: y.matrix)
            try pass(to: layer) { d, adding in
                let weight = d.matrix[columns: 0..<folded.channels]
                try multiply(dy.matrix.transposed, x.value.matrix, into: weight, adding: adding)
                for (u, sum) in dy.matrix.columnSums().enumerated() {
                    let row = d.matrix.row(u)
                    row[folded.channels] = Float(sum) + (adding ? row[folded.channels] : 0)
                }
            }
            try pass(to: x) { dx, adding in try multiply(dy.matrix, folded.weight, into: dx.matrix, adding: adding) }
        }
    }

    /// A batch norm behind z = x·wᵀ, over the global batch, as a layer on x: [W̃ b̃], [U, C + 1], of which W̃x + b̃ is
    /// scale·(z - mean z)/sqrt(var z + 1e-5) + shift. x is [..., C], w [U, C], scale and shift [U]. Collective.
    ///
    /// With μ and Σ the mean and covariance of x's rows: mean z = Wμ and var z = diag(WΣWᵀ), so W̃ = s∘W and
    /// b̃ = shift - W̃μ with s = scale/sqrt(var z + ε). Synchronising it costs C + C² numbers (design 4.3).
    package func foldedNormalisation(
        of x: Variable, weight w: Variable, scale: Variable, shift: Variable, scope: BatchNormScope
    ) throws -> Variable {
        let input = x.value.matrix
        let (units, channels) = (w.shape[0], w.shape[1])
        let summed: ([Double]) throws -> [Double] = { [unowned self] in scope == .sync ? try ranks.sum($0) : $0 }
        let sums = try summed(Array(input.channelMoments()[..<channels]) + [Double(input.rows)])
        let count = max(sums[channels], 1)
        let mean = device.tensor([channels], sums[..<channels].map { Float($0 / count) })  // μ [C]
        let covariance = try sumOfSquares(of: input, around: mean)  // Σ [C, C]
        _ = covariance.elements.update(
            fromContentsOf: try summed(covariance.elements.map(Double.init)).map { Float($0 / count) })

        // WΣ [U, C]; variance [U]; [W̃ b̃] [U, C + 1]
        let weightCovariance = device.tensor([units, channels])
        try multiply(w.value.matrix, covariance.matrix, into: weightCovariance.matrix)
        let inverse = device.tensor([units])  // 1/sqrt(var z + ε)
        let layer = device.tensor([units, channels + 1])
        for u in 0..<units {
            let (row, product, out) = (w.value.matrix.row(u), weightCovariance.matrix.row(u), layer.matrix.row(u))
            let variance = (0..<channels).reduce(0.0) { $0 + Double(row[$1]) * Double(product[$1]) }
            inverse.base[u] = Float(1 / (max(variance, 0) + batchNormEpsilon).squareRoot())
            let factor = scale.value.base[u] * inverse.base[u]
            for c in 0..<channels { out[c] = row[c] * factor }
            let projected = (0..<channels).reduce(0.0) { $0 + Double(out[$1]) * Double(mean.base[$1]) }
            out[channels] = shift.value.base[u] - Float(projected)
        }

        return record(layer, from: [x, w, scale, shift]) { [unowned self] dLayer in
            // By W̃ also through b̃ = shift - W̃μ: dW̃ - db̃·μᵀ, into whose place it goes.
            let dFolded = dLayer.matrix[columns: 0..<channels]
            let dBias = (0..<units).map { dLayer.matrix.row($0)[channels] }
            for u in 0..<units {
                let d = dFolded.row(u)
                for c in 0..<channels { d[c] -= dBias[u] * mean.base[c] }
            }
            pass(to: shift) { d, adding in
                for u in 0..<units { d.base[u] = dBias[u] + (adding ? d.base[u] : 0) }
            }
            // ds [U] = dW̃·W; dvar = -ds·scale·inverse³/2; dW = s∘dW̃ + 2·dvar∘WΣ; dΣ = Wᵀ(dvar∘W)
            let dVariance = device.tensor([units])
            let dScale = device.tensor([units])
            let weighted = device.tensor([units, channels])  // dvar∘W
            for u in 0..<units {
                let (row, d) = (w.value.matrix.row(u), dFolded.row(u))
                let along = (0..<channels).reduce(0.0) { $0 + Double(row[$1]) * Double(d[$1]) }
                let r = Double(inverse.base[u])
                dScale.base[u] = Float(along * r)
                dVariance.base[u] = Float(-along * Double(scale.value.base[u]) * r * r * r / 2)
                for c in 0..<channels { weighted.matrix.row(u)[c] = dVariance.base[u] * row[c] }
            }
            pass(dScale, to: scale)
            pass(to: w) { dw, adding in
                for u in 0..<units {
                    let (out, d, product) = (dw.matrix.row(u), dFolded.row(u), weightCovariance.matrix.row(u))
                    let factor = scale.value.base[u] * inverse.base[u]
                    for c in 0..<channels {
                        out[c] = (adding ? out[c] : 0) + factor * d[c] + 2 * dVariance.base[u] * product[c]
                    }
                }
            }
            guard needsGradient(x) else { return }
            // dx = dμ/R + (2/R)·(x - μ)·dΣ with dμ = -W̃ᵀdb̃, both summed over all ranks' R rows
            let dCovariance = device.tensor([channels, channels])
            try multiply(w.value.matrix.transposed, weighted.matrix, into: dCovariance.matrix)
            let dMean = (0..<channels).map { c in
                (0..<units).reduce(0.0) { $0 - Double(dBias[$1]) * Double(layer.matrix.row($1)[c]) }
            }
            let total = try summed(dCovariance.elements.map(Double.init) + dMean)
            for i in 0..<channels * channels { dCovariance.base[i] = Float(2 * total[i] / count) }
            let constant = (0..<channels).map { c in
                (0..<channels).reduce(total[channels * channels + c] / count) {
                    $0 - Double(mean.base[$1]) * Double(dCovariance.matrix.row($1)[c])
                }
            }
            let shift = device.tensor([channels], constant.map { Float($0) })
            try pass(to: x) { dx, adding in
                try multiply(x.value.matrix, dCovariance.matrix, into: dx.matrix, adding: adding)
                dx.matrix.addToRows(shift.base)
            }
        }
    }

    /// The sum over rows of (x - μ)(x - μ)ᵀ, [C, C]: centred first, so that nothing cancels, some rows at a time.
    private func sumOfSquares(of x: Matrix, around mean: Tensor) throws -> Tensor {
        let result = device.tensor([x.columns, x.columns], filledWith: 0)
        let shift = mean.elements.map { -$0 }
        let ones = [Float](repeating: 1, count: x.columns)
        let blockRows = min(x.rows, 4096)
        let block = device.tensor([blockRows, x.columns])
        for start in stride(from: 0, to: x.rows, by: max(blockRows, 1)) {
            let rows = start..<min(start + blockRows, x.rows)
            let centred = block.matrix[rows: 0..<rows.count]
            centred.setAffine(of: x[rows: rows], scale: ones, shift: shift, rectified: false)
            try multiply(centred.transposed, centred, into: result.matrix, adding: true)
        }
        return result
    }
}

/// A layer max(W̃x + b̃, 0) that is kept as one array, [W̃ b̃].
package struct RectifiedLayer {
    /// W̃, [U, C].
    package let weight: Matrix
    /// b̃, [U].
    package let bias: Tensor
    private let layer: Tensor

    /// - Parameter layer: [U, C + 1].
    package init(_ layer: Tensor, device: Device) {
        let channels = layer.shape[1] - 1
        self.layer = layer
        weight = layer.matrix[columns: 0..<channels]
        bias = device.tensor([layer.shape[0]], (0..<layer.shape[0]).map { layer.matrix.row($0)[channels] })
    }

    package var units: Int { weight.rows }
    package var channels: Int { weight.columns }
}
