import Collectives
import Tensors

extension Tape {
    /// y = max(scale·(z - mean z)/sqrt(var z + 1e-5) + shift, 0) with z = x·wᵀ and the statistics of the global batch,
    /// without ever computing z. x is [..., C], w [U, C], scale and shift [U]; y is [..., U]. Collective.
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
        let (input, weight) = (device.operand(x.value), device.operand(folded.weight))
        try device.multiply(input, weight.transposed, into: y.matrix)
        y.matrix.addBiasAndRectify(folded.bias.base)
        return record(y, from: [x, layer]) { [unowned self] dy in
            dy.matrix.mask(wherePositive: y.matrix)
            let gradient = device.operand(dy)
            try pass(to: layer) { d, adding in
                let byWeight = d.matrix[columns: 0..<folded.channels]
                try device.multiply(gradient.transposed, input, into: byWeight, adding: adding)
                for (u, sum) in dy.matrix.columnSums().enumerated() {
                    let row = d.matrix.row(u)
                    row[folded.channels] = Float(sum) + (adding ? row[folded.channels] : 0)
                }
            }
            try pass(to: x) { dx, adding in try device.multiply(gradient, weight, into: dx.matrix, adding: adding) }
        }
    }

    /// A batch norm after z = x·wᵀ, over the global batch, as a layer on x: [W̃ b̃], [U, C + 1], with W̃x + b̃ =
    /// scale·(z - mean z)/sqrt(var z + 1e-5) + shift. x is [..., C], w [U, C], scale and shift [U]. Collective.
    ///
    /// With μ and Σ the mean and covariance of x's rows: mean z = Wμ and var z = diag(WΣWᵀ), so W̃ = s∘W and
    /// b̃ = shift - W̃μ with s = scale/sqrt(var z + ε). Synchronising it costs C + C² numbers (design 4.3).
    package func foldedNormalisation(
        of x: Variable, weight w: Variable, scale: Variable, shift: Variable, scope: BatchNormScope
    ) throws -> Variable {
        precondition(
            options.normalisation == nil,
            "a folded norm sums over ranks at once, so it can't be in a pass of micro-batches")
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
        let weight = w.value.matrix
        let weightCovariance = device.tensor([units, channels])
        try multiply(weight, covariance.matrix, into: weightCovariance.matrix)
        let inverse = weight.rowProducts(weightCovariance.matrix).map {  // 1/sqrt(var z + ε), [U]
            Float(1 / (max($0, 0) + batchNormEpsilon).squareRoot())
        }
        let factors = zip(scale.value.elements, inverse).map(*)  // s, [U]
        let layer = device.tensor([units, channels + 1])
        let folded = layer.matrix[columns: 0..<channels]  // W̃
        folded.setRows(of: weight, times: factors)
        let bias = layer.matrix[columns: channels..<channels + 1]
        try multiply(folded, Matrix(base: mean.base, rows: channels, columns: 1, stride: 1), into: bias)
        for u in 0..<units { bias.row(u)[0] = shift.value.base[u] - bias.row(u)[0] }

        return record(layer, from: [x, w, scale, shift]) { [unowned self] dLayer in
            // The gradient by W̃ has a part through b̃ = shift - W̃μ: dW̃ - db̃·μᵀ, which replaces dW̃.
            let dFolded = dLayer.matrix[columns: 0..<channels]
            let dBias = dLayer.matrix.column(channels)
            dFolded.addToRows(mean.base, times: dBias.map(-))
            pass(device.tensor([units], dBias), to: shift)
            // ds [U] = dW̃·W; dvar = -ds·scale·inverse³/2; dW = s∘dW̃ + 2·dvar∘WΣ; dΣ = Wᵀ(dvar∘W)
            let dFactors = weight.rowProducts(dFolded).map { Float($0) }
            pass(device.tensor([units], zip(dFactors, inverse).map(*)), to: scale)
            let dVariance = (0..<units).map { u -> Float in
                let square = inverse[u] * inverse[u]
                return -dFactors[u] * factors[u] * square / 2
            }
            pass(to: w) { dw, adding in
                if !adding { dw.fill(0) }
                dw.matrix.addRows(of: dFolded, times: factors)
                dw.matrix.addRows(of: weightCovariance.matrix, times: dVariance.map { 2 * $0 })
            }
            guard needsGradient(x) else { return }
            // dx = dμ/R + (2/R)·(x - μ)·dΣ with dμ = -W̃ᵀdb̃, both summed over all ranks' R rows
            let weighted = device.tensor([units, channels])  // dvar∘W
            weighted.matrix.setRows(of: weight, times: dVariance)
            let dCovariance = device.tensor([channels, channels])
            try multiply(weight.transposed, weighted.matrix, into: dCovariance.matrix)
            let dMean = device.tensor([1, channels])  // -dμ
            try multiply(
                dLayer.matrix[columns: channels..<channels + 1].transposed, layer.matrix[columns: 0..<channels],
                into: dMean.matrix)
            let total = try summed((dCovariance.array + dMean.array).map(Double.init))
            for i in 0..<channels * channels { dCovariance.base[i] = Float(2 * total[i] / count) }
            let rows = dCovariance.matrix
            let constant = (0..<channels).map { c in
                (0..<channels).reduce(-total[channels * channels + c] / count) {
                    $0 - Double(mean.base[$1]) * Double(rows.row($1)[c])
                }
            }
            let shift = device.tensor([channels], constant.map { Float($0) })
            try pass(to: x) { dx, adding in
                try multiply(x.value.matrix, dCovariance.matrix, into: dx.matrix, adding: adding)
                dx.matrix.addToRows(shift.base)
            }
        }
    }

    /// The sum over rows of (x - μ)(x - μ)ᵀ, [C, C]. Rows are centred first, so that nothing cancels, a block at a
    /// time.
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
        bias = device.tensor([layer.shape[0]], layer.matrix.column(channels))
    }

    package var units: Int { weight.rows }
    package var channels: Int { weight.columns }
}
