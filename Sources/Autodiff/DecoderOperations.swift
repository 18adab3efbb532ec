import Tensors

extension Tape {
    /// tanh of each element.
    package func hyperbolicTangent(_ x: Variable) -> Variable {
        let y = device.tensor(x.shape)
        y.copy(from: x.value)
        y.replaceByHyperbolicTangent()
        return record(y, from: [x]) { [unowned self] gradient in
            // dx = dy·(1 - y²)
            let (dy, y) = (gradient.base, y.base)
            for i in 0..<gradient.count { dy[i] *= 1 - y[i] * y[i] }
            pass(gradient, to: x)
        }
    }

    /// Mean of (x - target)² over the global batch and the elements of a row, as this rank's part of the sum. Both are
    /// this rank's n rows, [n, ...]; the result is a scalar.
    package func meanSquaredError(_ x: Variable, target: Tensor) -> Variable {
        let rowSize = x.shape.dropFirst().reduce(1, *)
        let scale = 1 / (Double(max(shares.total, 1)) * Double(max(rowSize, 1)))
        let difference = device.tensor(x.shape)
        difference.copy(from: x.value)
        difference.add(target, times: -1)
        var sum = 0.0
        for row in 0..<x.shape[0] {
            var rowSum: Float = 0
            let values = difference.base + row * rowSize
            for i in 0..<rowSize { rowSum += values[i] * values[i] }
            sum += Double(rowSum)
        }
        return record(device.tensor([1], [Float(sum * scale)]), from: [x]) { [unowned self] upstream in
            difference.scale(by: Float(2 * scale) * upstream.base[0])
            pass(difference, to: x)
        }
    }
}
