import Tensors

extension Tape {
    /// y = x·wᵀ + b. x is [..., I], w [O, I], b [O]; y is [..., O].
    package func linear(_ x: Variable, weight w: Variable, bias b: Variable? = nil) throws -> Variable {
        let y = device.tensor(x.shape.dropLast() + [w.shape[0]])
        let (input, weight) = (device.operand(x.value), device.operand(w.value))
        try device.multiply(input, weight.transposed, into: y.matrix)
        if let b { y.matrix.addToRows(b.value.base) }
        return record(y, from: [x, w] + (b.map { [$0] } ?? [])) { [unowned self] dy in
            let gradient = device.operand(dy)
            try pass(to: w) { dw, adding in
                try device.multiply(gradient.transposed, input, into: dw.matrix, adding: adding)
            }
            if let b { passColumnSums(of: dy, to: b) }
            try pass(to: x) { dx, adding in
                try device.multiply(gradient, weight, into: dx.matrix, adding: adding)
            }
        }
    }

    /// y = x·w. x is [R, I], w [I, O]; y is [R, O].
    package func product(_ x: Variable, _ w: Variable) throws -> Variable {
        let y = device.tensor([x.shape[0], w.shape[1]])
        let (input, weight) = (device.operand(x.value), device.operand(w.value))
        try device.multiply(input, weight, into: y.matrix)
        return record(y, from: [x, w]) { [unowned self] dy in
            let gradient = device.operand(dy)
            try pass(to: w) { dw, adding in
                try device.multiply(input.transposed, gradient, into: dw.matrix, adding: adding)
            }
            try pass(to: x) { dx, adding in
                try device.multiply(gradient, weight.transposed, into: dx.matrix, adding: adding)
            }
        }
    }

    /// x + y, of equal shapes.
    package func add(_ x: Variable, _ y: Variable) -> Variable {
        let sum = device.tensor(x.shape)
        sum.copy(from: x.value)
        sum.add(y.value)
        return record(sum, from: [x, y]) { [unowned self] gradient in
            pass(to: x) { dx, adding in
                if adding { dx.add(gradient) } else { dx.copy(from: gradient) }
            }
            pass(gradient, to: y)
        }
    }

    /// The same elements under another shape.
    package func reshape(_ x: Variable, _ shape: [Int]) -> Variable {
        record(x.value.reshaped(shape), from: [x]) { [unowned self] gradient in
            pass(gradient.reshaped(x.shape), to: x)
        }
    }

    /// Matrices of equal row count side by side: [R, sum of columns].
    package func concatenateColumns(_ parts: [Variable]) -> Variable {
        let widths = parts.map { $0.shape[1] }
        let whole = device.tensor([parts[0].shape[0], widths.reduce(0, +)])
        var ranges: [Range<Int>] = []
        for (part, width) in zip(parts, widths) {
            let start = ranges.last?.upperBound ?? 0
            ranges.append(start..<start + width)
            whole.matrix[columns: start..<start + width].copy(from: part.value.matrix)
        }
        return record(whole, from: parts) { [unowned self] gradient in
            for (part, range) in zip(parts, ranges) {
                let slice = device.tensor(part.shape)
                slice.matrix.copy(from: gradient.matrix[columns: range])
                pass(slice, to: part)
            }
        }
    }

    /// Convolution without bias. x is [n, H, W, I], w [O, I, k, k]; y is [n, H', W', O].
    /// - Parameters:
    ///   - padding: pixels around x.
    ///   - rest: those below and on the right, if there are not as many. With fewer, the last rows and columns of y aren't
    ///     computed.
    package func convolution(
        _ x: Variable, weight w: Variable, stride: Int, padding: Int, rest: (below: Int, right: Int)? = nil
    ) throws -> Variable {
        // A product of pixels is faster than oneDNN's kernels for 1x1 and a stride, which in 2.6 also write past the end
        // of their scratch memory where the channels aren't a multiple of 8.
        if w.shape[2] == 1 && padding == 0 && rest == nil {
            return try linear(sampled(x, step: stride), weight: reshape(w, [w.shape[0], w.shape[1]]))
        }
        // Of a kernel over a map of 1x1, only the middle is on the map.
        if x.shape[1] == 1 && x.shape[2] == 1 && w.shape[2] == 2 * padding + 1 && rest == nil {
            return try linear(x, weight: middle(w))
        }
        let shape = ConvolutionShape(
            images: x.shape[0], height: x.shape[1], width: x.shape[2], inputChannels: x.shape[3],
            outputChannels: w.shape[0], kernel: w.shape[2], stride: stride, padding: padding, rest: rest)
        let y = device.tensor(shape.output)
        let kernel = shape.images > 0 ? try device.convolution(shape) : nil  // a rank may have no image
        let input = device.operand(x.value)
        try kernel?.forward(input, w.value, into: y)
        return record(y, from: [x, w]) { [unowned self] dy in
            guard let kernel else {
                pass(device.tensor(w.shape, filledWith: 0), to: w)
                pass(device.tensor(x.shape), to: x)
                return
            }
            let gradient = device.operand(dy)
            if needsGradient(w) {
                let dw = device.tensor(w.shape)
                try kernel.backward(gradient, input: input, intoWeights: dw)
                pass(dw, to: w)
            }
            guard needsGradient(x) else { return }
            let dx = device.tensor(x.shape)
            try kernel.backward(gradient, w.value, intoInput: dx)
            pass(dx, to: x)
        }
    }

    /// The middle of kernels of odd side: [O, I, k, k] to [O, I].
    package func middle(_ w: Variable) -> Variable {
        let taps = w.shape[2] * w.shape[3]
        let y = device.tensor([w.shape[0], w.shape[1]])
        for i in 0..<y.count { y.base[i] = w.value.base[i * taps + taps / 2] }
        return record(y, from: [w]) { [unowned self] dy in
            pass(to: w) { dw, adding in
                if !adding { dw.fill(0) }
                for i in 0..<dy.count { dw.base[i * taps + taps / 2] += dy.base[i] }
            }
        }
    }

    /// Every `step`-th pixel, each way: [n, H, W, C] to [n, ⌈H/step⌉, ⌈W/step⌉, C].
    package func sampled(_ x: Variable, step: Int) -> Variable {
        guard step > 1 else { return x }
        func count(_ size: Int) -> Int { (size + step - 1) / step }
        let y = device.tensor([x.shape[0], count(x.shape[1]), count(x.shape[2]), x.shape[3]])
        y.setToSamples(of: x.value, step: step)
        return record(y, from: [x]) { [unowned self] dy in
            guard needsGradient(x) else { return }
            let dx = device.tensor(x.shape)
            dx.setToGradient(ofSamples: dy, step: step)
            pass(dx, to: x)
        }
    }

    /// Transposed convolution without bias: the gradient of a convolution by its input, as an operation. x is [n, H, W,
    /// I], w [I, O, k, k] as in PyTorch; y is [n, H', W', O], H' = stride·(H - 1) + k - 2·padding.
    package func transposedConvolution(
        _ x: Variable, weight w: Variable, stride: Int, padding: Int
    ) throws -> Variable {
        let kernelSize = w.shape[2]
        func enlarged(_ size: Int) -> Int { stride * (size - 1) + kernelSize - 2 * padding }
        // The shape of the convolution in the other direction, from y to x.
        let shape = ConvolutionShape(
            images: x.shape[0], height: enlarged(x.shape[1]), width: enlarged(x.shape[2]), inputChannels: w.shape[1],
            outputChannels: w.shape[0], kernel: kernelSize, stride: stride, padding: padding)
        let y = device.tensor(shape.input)
        let kernel = shape.images > 0 ? try device.convolution(shape) : nil  // a rank may have no image
        let input = device.operand(x.value)
        try kernel?.backward(input, w.value, intoInput: y)
        return record(y, from: [x, w]) { [unowned self] dy in
            guard let kernel else {
                pass(device.tensor(w.shape, filledWith: 0), to: w)
                pass(device.tensor(x.shape), to: x)
                return
            }
            let gradient = device.operand(dy)
            if needsGradient(w) {
                let dw = device.tensor(w.shape)
                try kernel.backward(input, input: gradient, intoWeights: dw)
                pass(dw, to: w)
            }
            guard needsGradient(x) else { return }
            let dx = device.tensor(x.shape)
            try kernel.forward(gradient, w.value, into: dx)
            pass(dx, to: x)
        }
    }

    func passColumnSums(of gradient: Tensor, to bias: Variable) {
        pass(to: bias) { db, adding in
            for (i, sum) in gradient.matrix.columnSums().enumerated() {
                db.base[i] = Float(sum) + (adding ? db.base[i] : 0)
            }
        }
    }
}
