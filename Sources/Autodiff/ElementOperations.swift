import Tensors

extension Tape {
    /// max(x, 0).
    package func rectify(_ x: Variable) -> Variable {
        let y = device.tensor(x.shape)
        y.copy(from: x.value)
        y.rectify()
        return record(y, from: [x]) { [unowned self] gradient in
            gradient.matrix.mask(wherePositive: y.matrix)
            pass(gradient, to: x)
        }
    }

    /// x where x is positive, otherwise slope·x (Maas et al. 2013). The slope is in 0...1.
    package func leakyRectify(_ x: Variable, slope: Float) -> Variable {
        let y = device.tensor(x.shape)
        y.copy(from: x.value)
        y.scale(by: slope, whereNotPositive: y)
        return record(y, from: [x]) { [unowned self] gradient in
            gradient.scale(by: slope, whereNotPositive: y)
            pass(gradient, to: x)
        }
    }

    /// x where `output`, of the same shape, is positive, and 0 elsewhere: the backward rule of a rectifier with that
    /// output.
    package func masked(_ x: Variable, wherePositive output: Tensor) -> Variable {
        let y = device.tensor(x.shape)
        y.copy(from: x.value)
        y.matrix.mask(wherePositive: output.matrix)
        return record(y, from: [x]) { [unowned self] gradient in
            gradient.matrix.mask(wherePositive: output.matrix)
            pass(gradient, to: x)
        }
    }

    /// 1/(1 + e^-x).
    package func sigmoid(_ x: Variable) -> Variable {
        let y = device.tensor(x.shape)
        y.copy(from: x.value)
        _ = y.matrix.replaceBySigmoid(scale: 1)
        return record(y, from: [x]) { [unowned self] gradient in
            for i in 0..<y.count { gradient.base[i] *= y.base[i] * (1 - y.base[i]) }
            pass(gradient, to: x)
        }
    }

    /// The sum of scalars, each times its weight.
    package func weightedSum(_ terms: [(variable: Variable, weight: Float)]) -> Variable {
        let sum = terms.reduce(Float(0)) { $0 + $1.weight * $1.variable.value.base[0] }
        return record(device.tensor([1], [sum]), from: terms.map(\.variable)) { [unowned self] upstream in
            for (variable, weight) in terms { pass(device.tensor([1], [weight * upstream.base[0]]), to: variable) }
        }
    }

    /// The mean over the global batch of the squared norm of a row, as this rank's part of the sum. x is [n, D], with
    /// one row for each image.
    package func meanSquaredNorm(_ x: Variable) -> Variable {
        let scale = 1 / Double(max(shares.total, 1))
        let sum = x.value.elements.reduce(0.0) { $0 + Double($1) * Double($1) }
        return record(device.tensor([1], [Float(sum * scale)]), from: [x]) { [unowned self] upstream in
            let gradient = device.tensor(x.shape, filledWith: 0)
            gradient.add(x.value, times: Float(2 * scale) * upstream.base[0])
            pass(gradient, to: x)
        }
    }

    /// Every row repeated `times` times: [R, C] to [R·times, C].
    package func repeatRows(_ x: Variable, times: Int) -> Variable {
        let (rows, columns) = (x.shape[0], x.shape[1])
        let y = device.tensor([rows * times, columns])
        for r in 0..<rows * times { y.matrix.row(r).update(from: x.value.matrix.row(r / times), count: columns) }
        return record(y, from: [x]) { [unowned self] dy in
            let dx = device.tensor(x.shape)
            for r in 0..<rows {
                for (c, sum) in dy.matrix[rows: r * times..<(r + 1) * times].columnSums().enumerated() {
                    dx.base[r * columns + c] = Float(sum)
                }
            }
            pass(dx, to: x)
        }
    }

    /// Some of the columns: [R, C] to [R, columns.count].
    package func columns(_ x: Variable, _ columns: Range<Int>) -> Variable {
        let y = device.tensor([x.shape[0], columns.count])
        y.matrix.copy(from: x.value.matrix[columns: columns])
        return record(y, from: [x]) { [unowned self] dy in
            let dx = device.tensor(x.shape, filledWith: 0)
            dx.matrix[columns: columns].copy(from: dy.matrix)
            pass(dx, to: x)
        }
    }
    /// Some of the rows, along the first axis: [R, ...] to [range.count, ...]. The value shares x's memory.
    package func rows(_ x: Variable, _ range: Range<Int>) -> Variable {
        let rowSize = x.shape.dropFirst().reduce(1, *)
        let shape = [range.count] + x.shape.dropFirst()
        let start = range.lowerBound * rowSize
        return record(x.value.view(from: start, shape: shape), from: [x]) { [unowned self] dy in
            pass(to: x) { dx, adding in
                if !adding { dx.fill(0) }
                dx.view(from: start, shape: shape).add(dy)
            }
        }
    }
}
