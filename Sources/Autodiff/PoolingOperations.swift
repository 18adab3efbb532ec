import Tensors

extension Tape {
    /// The largest element of each window. x is [n, H, W, C]; y is [n, H', W', C]. Of equal elements the first gets the
    /// gradient. Pixels of the padding never win.
    /// - Parameter padding: pixels by which windows reach over the edge, less than `window`.
    package func maxPool(_ x: Variable, window: Int, stride: Int, padding: Int = 0) -> Variable {
        let shape = PoolingShape(
            images: x.shape[0], height: x.shape[1], width: x.shape[2], channels: x.shape[3], window: window,
            stride: stride, padding: padding)
        let y = device.tensor(shape.output)
        let winners = PoolWinners(count: y.count, device: device)
        shape.forward(x.value, into: y, winners: winners)
        device.timeline?.count(bytes: 4 * (x.value.count + y.count) + 2 * y.count)
        return record(y, from: [x]) { [unowned self] dy in
            guard needsGradient(x) else { return }
            let dx = device.tensor(x.shape)
            shape.backward(dy, winners: winners, into: dx)
            device.timeline?.count(bytes: 4 * (dx.count + dy.count) + 2 * dy.count)
            pass(dx, to: x)
        }
    }

    /// The mean over all locations, by channel: [n, H, W, C] to [n, C].
    package func globalMean(_ x: Variable) -> Variable {
        let y = device.tensor([x.shape[0], x.shape[3]])
        y.setToMeans(of: x.value)
        return record(y, from: [x]) { [unowned self] dy in
            guard needsGradient(x) else { return }
            let dx = device.tensor(x.shape)
            dx.setToGradient(ofMeans: dy)
            pass(dx, to: x)
        }
    }

    /// The largest element of all locations, by channel: [n, H, W, C] to [n, C]. Of equal elements the first gets the
    /// gradient.
    package func globalMaximum(_ x: Variable) -> Variable {
        let y = device.tensor([x.shape[0], x.shape[3]])
        let winners = y.setToMaxima(of: x.value)
        return record(y, from: [x]) { [unowned self] dy in
            guard needsGradient(x) else { return }
            let dx = device.tensor(x.shape)
            dx.setToGradient(ofMaxima: dy, at: winners)
            pass(dx, to: x)
        }
    }
}
