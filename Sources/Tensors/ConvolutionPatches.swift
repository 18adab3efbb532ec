/// The gradient by a convolution's weights as a product: dW = dyᵀ·patches, where a row of patches is what the kernel sees
/// for one element of the output (im2col: Chellapilla, Puri & Simard 2006).
extension DirectConvolution {
    /// Most elements of the patches that are laid out at a time.
    private static let mostElements = 1 << 22

    /// `gradient` of the loss by the weights (OIHW), from the gradient by the output, [N·H'·W', O].
    func backwardByPatches(_ outputGradient: Operand, input: Operand, intoWeights gradient: Tensor) throws {
        let (pixels, taps) = (shape.outputHeight * shape.outputWidth, shape.kernel * shape.kernel)
        let width = taps * shape.inputChannels
        let byTaps = device.tensor([shape.outputChannels, width])  // OHWI
        let size = max(1, Self.mostElements / max(1, pixels * width))
        for start in stride(from: 0, to: shape.images, by: size) {
            let images = start..<min(start + size, shape.images)
            let patches = device.emptyOperand(rows: images.count * pixels, columns: width)
            write(images, of: input, into: patches)
            let rows = images.lowerBound * pixels..<images.upperBound * pixels
            try device.multiply(
                outputGradient[rows: rows].transposed, patches, into: byTaps.matrix, adding: start > 0)
        }
        inParallel(shape.outputChannels, elements: width) { part in
            for o in part {
                let (source, target) = (byTaps.base + o * width, gradient.base + o * width)
                for channel in 0..<shape.inputChannels {
                    for tap in 0..<taps { target[channel * taps + tap] = source[tap * shape.inputChannels + channel] }
                }
            }
        }
    }

    /// Writes the patches of some images, [N·H'·W', K·K·I].
    private func write(_ images: Range<Int>, of input: Operand, into patches: Operand) {
        let pixel = shape.inputChannels * input.elementSize  // in bytes, as all below
        let (rowOfInput, rowOfKernel) = (shape.width * pixel, shape.kernel * pixel)
        inParallel(images.count, elements: shape.outputHeight * shape.outputWidth * patches.columns) { part in
            var target =
                patches.address + part.lowerBound * shape.outputHeight * shape.outputWidth
                * shape.kernel * rowOfKernel
            for image in part {
                let source = input.address + (images.lowerBound + image) * shape.height * rowOfInput
                for top in 0..<shape.outputHeight {
                    for left in 0..<shape.outputWidth {
                        let x = left * shape.stride - shape.padding
                        let inside = max(x, 0)..<max(min(x + shape.kernel, shape.width), max(x, 0))
                        for tap in 0..<shape.kernel {
                            let y = top * shape.stride - shape.padding + tap
                            defer { target += rowOfKernel }
                            guard (0..<shape.height).contains(y) && !inside.isEmpty else {
                                target.initializeMemory(as: UInt8.self, repeating: 0, count: rowOfKernel)
                                continue
                            }
                            let (before, after) = (inside.lowerBound - x, x + shape.kernel - inside.upperBound)
                            if before > 0 {
                                target.initializeMemory(as: UInt8.self, repeating: 0, count: before * pixel)
                            }
                            (target + before * pixel).copyMemory(
                                from: source + y * rowOfInput + inside.lowerBound * pixel,
                                byteCount: inside.count * pixel)
                            if after > 0 {
                                (target + rowOfKernel - after * pixel).initializeMemory(
                                    as: UInt8.self, repeating: 0, count: after * pixel)
                            }
                        }
                    }
                }
            }
        }
    }
}
