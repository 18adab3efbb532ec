import Tensors

extension Tape {
    /// The largest element of each window, without padding. x is [n, H, W, C]; y is [n, H', W', C]. Of equal elements
    /// the first gets the gradient.
    package func maxPool(_ x: Variable, window: Int, stride: Int) -> Variable {
        let shape = PoolingShape(
            images: x.shape[0], height: x.shape[1], width: x.shape[2], channels: x.shape[3], window: window,
            stride: stride)
        let (y, winners) = (device.tensor(shape.output), device.tensor(shape.output))
        shape.forward(x.value, into: y, winners: winners)
        return record(y, from: [x]) { [unowned self] dy in
            pass(to: x) { dx, adding in
                if !adding { dx.fill(0) }
                shape.backward(dy, winners: winners, addingTo: dx)
            }
        }
    }
}
