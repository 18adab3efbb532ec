import Collectives
import Tensors
import Testing

/// A convolution's value and both gradients against the definition in Double.
@Suite struct ConvolutionTests {
    private struct Example: CustomTestStringConvertible {
        let name: String
        let shape: ConvolutionShape
        var testDescription: String { name }

        init(
            _ name: String, images: Int = 2, size: (Int, Int), channels: (Int, Int), kernel: Int, stride: Int = 2,
            padding: Int, rest: (below: Int, right: Int)? = nil
        ) {
            self.name = name
            shape = ConvolutionShape(
                images: images, height: size.0, width: size.1, inputChannels: channels.0, outputChannels: channels.1,
                kernel: kernel, stride: stride, padding: padding, rest: rest)
        }
    }

    private static let examples = [
        Example("first layer of 28x28", size: (14, 14), channels: (1, 64), kernel: 5, padding: 2),
        Example("second layer of 28x28", size: (7, 7), channels: (64, 32), kernel: 5, padding: 2),
        Example("first layer of 32x32", size: (16, 16), channels: (3, 64), kernel: 4, padding: 1),
        Example("second layer of 32x32", size: (8, 8), channels: (64, 32), kernel: 4, padding: 1),
        Example("odd sizes, kernel 4", images: 3, size: (9, 7), channels: (3, 5), kernel: 4, padding: 1),
        Example("odd sizes, kernel 5", images: 1, size: (5, 11), channels: (1, 3), kernel: 5, padding: 2),
        Example(
            "less padding below", size: (5, 6), channels: (24, 40), kernel: 3, stride: 1, padding: 1, rest: (0, 1)),
        Example(
            "less padding on both sides", size: (3, 3), channels: (8, 16), kernel: 3, stride: 1, padding: 1,
            rest: (0, 0)),
        Example("3x3 in tiles", size: (12, 8), channels: (16, 24), kernel: 3, stride: 1, padding: 1),
        Example(
            "3x3 in tiles that reach over the edge", images: 3, size: (7, 11), channels: (24, 16), kernel: 3, stride: 1,
            padding: 1),
        Example(
            "3x3 in tiles, less padding below", size: (15, 9), channels: (16, 16), kernel: 3, stride: 1, padding: 1,
            rest: (0, 1)),
        Example("3x3 in tiles of 3x3", size: (5, 6), channels: (16, 24), kernel: 3, stride: 1, padding: 1),
        Example(
            "3x3 in tiles of 2x2", images: 5, size: (3, 3), channels: (24, 16), kernel: 3, stride: 1, padding: 1,
            rest: (0, 0)),
        Example("3x3 in tiles without padding", size: (14, 13), channels: (16, 16), kernel: 3, stride: 1, padding: 0),
        Example("3x3 in tiles, padded by 2", size: (6, 7), channels: (16, 16), kernel: 3, stride: 1, padding: 2),
        Example(
            "3x3 in tiles of more images than pass at a time", images: 150, size: (8, 8), channels: (16, 16), kernel: 3,
            stride: 1, padding: 1),
        Example("2x2", size: (5, 4), channels: (3, 24), kernel: 2, stride: 1, padding: 0),
        Example("7x7", size: (11, 9), channels: (3, 8), kernel: 7, padding: 3),
        Example("1x1", size: (5, 4), channels: (16, 8), kernel: 1, padding: 0),
        Example("one pixel out", images: 1, size: (4, 4), channels: (7, 9), kernel: 4, padding: 0),
    ]

    /// Visits every product that a convolution sums: indices in the output, the input (NHWC) and the weights (OIHW).
    private func forEachTerm(_ shape: ConvolutionShape, _ body: (_ y: Int, _ x: Int, _ w: Int) -> Void) {
        for y in 0..<shape.output.reduce(1, *) {
            let (pixel, out) = y.quotientAndRemainder(dividingBy: shape.outputChannels)
            let column = pixel % shape.outputWidth
            let row = pixel / shape.outputWidth % shape.outputHeight
            let image = pixel / shape.outputWidth / shape.outputHeight
            for position in 0..<shape.kernel * shape.kernel {
                let h = row * shape.stride + position / shape.kernel - shape.padding
                let v = column * shape.stride + position % shape.kernel - shape.padding
                guard (0..<shape.height).contains(h) && (0..<shape.width).contains(v) else { continue }
                let x = ((image * shape.height + h) * shape.width + v) * shape.inputChannels
                for channel in 0..<shape.inputChannels {
                    let w = (out * shape.inputChannels + channel) * shape.kernel * shape.kernel + position
                    body(y, x + channel, w)
                }
            }
        }
    }

    @Test(arguments: examples)
    private func valueAndGradients(of example: Example) throws {
        for precision in Precision.allCases { try agree(example.shape, precision) }
        if example.name.contains("tiles") { try agree(example.shape, .float32, threads: 3) }
    }

    /// In bfloat16 the operands are rounded, and nothing else.
    private func agree(_ shape: ConvolutionShape, _ precision: Precision, threads: Int = 1) throws {
        let device = try Device(threads: threads, precision: precision)
        var stream = RandomStream(test: 1)
        let given = [shape.input, shape.weights, shape.output].map { stream.numbers($0.reduce(1, *)) }
        let rounded = given.map { $0.map { roundedForTests($0, to: precision) } }
        let (x, w, dy) = (rounded[0], rounded[1], rounded[2])
        var y = [Double](repeating: 0, count: dy.count)
        var dx = [Double](repeating: 0, count: x.count)
        var dw = [Double](repeating: 0, count: w.count)
        forEachTerm(shape) { i, j, k in
            y[i] += Double(x[j]) * Double(w[k])
            dx[j] += Double(dy[i]) * Double(w[k])
            dw[k] += Double(dy[i]) * Double(x[j])
        }
        let (input, weights) = (device.tensor(shape.input, given[0]), device.tensor(shape.weights, given[1]))
        let outputGradient = device.tensor(shape.output, given[2])
        let kernel = try device.convolution(shape)
        // Kernels differ from processor to processor in how they order the terms of a sum, here of up to 1,024.
        let tolerance = 3e-6
        let output = device.tensor(shape.output, filledWith: .nan)
        try kernel.forward(device.operand(input), weights, into: output)
        expectClose(output.array, y, within: tolerance, "output")
        let inputGradient = device.tensor(shape.input, filledWith: .nan)
        try kernel.backward(device.operand(outputGradient), weights, intoInput: inputGradient)
        expectClose(inputGradient.array, dx, within: tolerance, "input gradient")
        let weightGradient = device.tensor(shape.weights, filledWith: .nan)
        try kernel.backward(
            device.operand(outputGradient), input: device.operand(input), intoWeights: weightGradient)
        expectClose(weightGradient.array, dw, within: tolerance, "weight gradient")
        #expect([input.array, weights.array, outputGradient.array] == given)
    }

    @Test func outputSizes() {
        let shape = ConvolutionShape(
            images: 5, height: 28, width: 9, inputChannels: 3, outputChannels: 4, kernel: 5, stride: 2, padding: 2)
        #expect(shape.output == [5, 14, 5, 4])
        #expect(shape.input == [5, 28, 9, 3])
        #expect(shape.weights == [4, 3, 5, 5])
    }

    @Test func aKernelIsMadeOnceAndUsesMemoryAgain() throws {
        let shape = Self.examples[2].shape
        let device = try Device()
        let (x, w) = (device.tensor(shape.input, filledWith: 1), device.tensor(shape.weights, filledWith: 1))
        let y = device.tensor(shape.output)
        func run() throws {
            try device.convolution(shape).forward(device.operand(x), w, into: y)
            try device.convolution(shape).backward(device.operand(y), w, intoInput: x)
            try device.convolution(shape).backward(device.operand(y), input: device.operand(x), intoWeights: w)
        }
        try run()
        #expect(try device.convolution(shape) === device.convolution(shape))
        let (allocations, bytes) = (device.memory.systemAllocations, device.memory.bytesInUse)
        try run()
        #expect(device.memory.systemAllocations == allocations)
        #expect(device.memory.bytesInUse == bytes)
    }
}
