import Tensors

extension Tape {
    /// Mean over the global batch of -log softmax(logits)[label], as this rank's part of the sum.
    /// logits is [n·rowsPerImage, K] with labels of these rows in 0..<K; the result is a scalar.
    package func crossEntropy(_ logits: Variable, labels: [Int], rowsPerImage: Int = 1) -> Variable {
        let scale = 1 / Float(max(shares.total * rowsPerImage, 1))
        let gradient = device.tensor(logits.shape)
        gradient.copy(from: logits.value)
        var loss = 0.0
        for (row, label) in labels.enumerated() { loss -= Double(gradient.matrix.row(row)[label]) }
        loss += gradient.matrix.replaceBySoftmaxOfRows(scale: scale)
        for (row, label) in labels.enumerated() { gradient.matrix.row(row)[label] -= scale }
        return record(device.tensor([1], [Float(loss) * scale]), from: [logits]) { [unowned self] upstream in
            if upstream.base[0] != 1 { gradient.scale(by: upstream.base[0]) }
            pass(gradient, to: logits)
        }
    }

    /// Sets elements to 0 with probability `rate` and scales the others by 1/(1 - rate), in training only
    /// (Srivastava et al. 2014). `samples` are the data-set indices of the rows, which key the random numbers.
    package func dropout(_ x: Variable, rate: Float, seed: UInt64, step: Int, samples: [Int]) -> Variable {
        guard mode == .training && rate > 0 else { return x }
        let mask = device.tensor(x.shape)
        for (r, sample) in samples.enumerated() {
            var stream = RandomStream(seed: seed, purpose: .dropout, step: step, sample: sample)
            let row = UnsafeMutableBufferPointer(start: mask.matrix.row(r), count: mask.matrix.columns)
            stream.fillMask(row, rate: rate, value: 1 / (1 - rate))
        }
        let y = device.tensor(x.shape)
        y.copy(from: x.value)
        y.multiply(by: mask)
        return record(y, from: [x]) { [unowned self] gradient in
            gradient.multiply(by: mask)
            pass(gradient, to: x)
        }
    }
}
