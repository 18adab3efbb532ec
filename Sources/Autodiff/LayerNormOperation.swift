import Tensors

extension Tape {
    /// y = scale·(x - mean)/sqrt(variance + 1e-5) + shift, with the statistics of each row (Ba, Kiros & Hinton 2016). x
    /// is [..., C], scale and shift [C].
    package func layerNorm(_ x: Variable, scale: Variable, shift: Variable) -> Variable {
        let y = device.tensor(x.shape)
        y.matrix.setNormalisedRows(of: x.value.matrix, scale: scale.value.base, shift: shift.value.base)
        return record(y, from: [x, scale, shift]) { [unowned self] dy in
            let sums = dy.matrix.replaceByGradientOfNormalisedRows(of: x.value.matrix, scale: scale.value.base)
            pass(device.tensor(scale.shape, sums.scale.map { Float($0) }), to: scale)
            pass(device.tensor(shift.shape, sums.shift.map { Float($0) }), to: shift)
            pass(dy, to: x)
        }
    }
}
