import Tensors
import Testing

/// A max pool against its definition.
@Suite struct PoolingKernelsTests {
    @Test(arguments: [(3, 2, 0), (2, 2, 0), (2, 3, 0), (1, 1, 0), (5, 1, 0), (3, 2, 1), (2, 2, 1), (5, 3, 4)])
    func valueAndGradient(window: Int, stride: Int, padding: Int) throws {
        let shape = PoolingShape(
            images: 2, height: 5, width: 9, channels: 17, window: window, stride: stride, padding: padding)
        let device = try Device()
        var random = RandomStream(test: 1)
        let x = random.numbers(2 * 5 * 9 * 17)
        let dy = random.numbers(shape.output.reduce(1, *))
        var (y, dx) = ([Double](), [Double](repeating: 0, count: x.count))
        for (o, gradient) in dy.enumerated() {
            let (pixel, channel) = o.quotientAndRemainder(dividingBy: 17)
            let column = pixel % shape.outputWidth
            let row = pixel / shape.outputWidth % shape.outputHeight
            let image = pixel / shape.outputWidth / shape.outputHeight
            let winners = (0..<window * window).compactMap { position -> Int? in
                let (h, w) = (
                    row * stride - padding + position / window, column * stride - padding + position % window
                )
                guard (0..<5).contains(h) && (0..<9).contains(w) else { return nil }
                return ((image * 5 + h) * 9 + w) * 17 + channel
            }
            let best = winners.reduce(winners[0]) { x[$1] > x[$0] ? $1 : $0 }
            y.append(Double(x[best]))
            dx[best] += Double(gradient)
        }
        let output = device.tensor(shape.output, filledWith: .nan)
        let winners = PoolWinners(count: output.count, device: device)
        shape.forward(device.tensor([2, 5, 9, 17], x), into: output, winners: winners)
        expectClose(output.array, y, within: 0, "output")
        let gradient = device.tensor([2, 5, 9, 17], filledWith: .nan)
        shape.backward(device.tensor(shape.output, dy), winners: winners, into: gradient)
        expectClose(gradient.array, dx, within: 1e-6, "gradient")
    }

    /// Behind a rectifier whole windows are 0, and the gradient is passed on once.
    @Test func ofEqualsTheFirstGetsTheGradient() throws {
        let shape = PoolingShape(images: 1, height: 2, width: 2, channels: 1, window: 2, stride: 2)
        let device = try Device()
        let (y, winners) = (device.tensor(shape.output), PoolWinners(count: 1, device: device))
        shape.forward(device.tensor([1, 2, 2, 1], filledWith: 0), into: y, winners: winners)
        let dx = device.tensor([1, 2, 2, 1])
        shape.backward(device.tensor(shape.output, [3]), winners: winners, into: dx)
        #expect(y.array == [0])
        #expect(dx.array == [3, 0, 0, 0])
    }
}
