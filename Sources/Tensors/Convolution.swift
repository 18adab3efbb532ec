import COneDNN

/// Sizes of a 2-d convolution over square kernels. Images are NHWC, weights OIHW.
package struct ConvolutionShape: Hashable, Sendable {
    package var images, height, width, inputChannels, outputChannels, kernel, stride, padding: Int
    /// Padding below and on the right, in rows and in columns; `padding` is that above and on the left.
    package var paddingBelow, paddingRight: Int

    /// - Parameter rest: padding below and on the right, if it isn't `padding`.
    package init(
        images: Int, height: Int, width: Int, inputChannels: Int, outputChannels: Int, kernel: Int, stride: Int,
        padding: Int, rest: (below: Int, right: Int)? = nil
    ) {
        self.images = images
        self.height = height
        self.width = width
        self.inputChannels = inputChannels
        self.outputChannels = outputChannels
        self.kernel = kernel
        self.stride = stride
        self.padding = padding
        (paddingBelow, paddingRight) = rest ?? (padding, padding)
    }

    package var outputHeight: Int { (height + padding + paddingBelow - kernel) / stride + 1 }
    package var outputWidth: Int { (width + padding + paddingRight - kernel) / stride + 1 }
    package var input: [Int] { [images, height, width, inputChannels] }
    package var output: [Int] { [images, outputHeight, outputWidth, outputChannels] }
    /// Floating-point operations of the convolution, and of each of its gradients.
    package var operations: Int { 2 * output.reduce(1, *) * inputChannels * kernel * kernel }
    package var weights: [Int] { [outputChannels, inputChannels, kernel, kernel] }
}

/// A convolution of one shape and its two gradients, in the precision of its device.
package protocol ConvolutionKernel: AnyObject {
    /// `output = weights * input`.
    func forward(_ input: Operand, _ weights: Tensor, into output: Tensor) throws
    /// `gradient` of the loss by the input, from the gradient by the output.
    func backward(_ outputGradient: Operand, _ weights: Tensor, intoInput gradient: Tensor) throws
    /// `gradient` of the loss by the weights (OIHW), from the gradient by the output.
    func backward(_ outputGradient: Operand, input: Operand, intoWeights gradient: Tensor) throws
}

/// oneDNN's convolution.
///
/// Weights come and go as plain float32 OIHW. They are reordered to the layout that each kernel needs, and rounded on the
/// way. Outputs and gradients are float32. In bfloat16, the gradient by the weights is a product of patches, because
/// oneDNN 2.6's kernels for it reach a fifth of a product's speed with AMX, and two thirds without.
final class DirectConvolution: ConvolutionKernel {
    private let forwardPass: Primitive
    private let inputGradient: Primitive
    /// nil in bfloat16.
    private let weightGradient: Primitive?
    private let toForwardPass, toInputGradient, fromWeightGradient: Reordering?
    let shape: ConvolutionShape
    unowned let device: Device

    init(_ shape: ConvolutionShape, device: Device) throws {
        self.shape = shape
        self.device = device
        // oneDNN writes sizes as N, C, H, W for any layout in memory.
        let inputSizes = [shape.images, shape.inputChannels, shape.height, shape.width]
        let outputSizes = [shape.images, shape.outputChannels, shape.outputHeight, shape.outputWidth]
        let plainWeights = try Description(shape.weights, dnnl_oihw)
        // A pass rounds its two operands, and gives float32.
        func primitive(_ pass: ConvolutionPass, hint: Primitive? = nil) throws -> Primitive {
            let operand = device.operandType
            let input = try Description(
                inputSizes, dnnl_nhwc, pass == convolution_input_gradient ? dnnl_f32 : operand)
            let weights = try Description(shape.weights, dnnl_format_tag_any, operand)
            let output = try Description(outputSizes, dnnl_nhwc, pass == convolution_forward ? dnnl_f32 : operand)
            return try Primitive(device: device) { result, attributes in
                convolution_description_create(
                    &result, device.engine, pass, input.base, weights.base, output.base,
                    [Int64](repeating: Int64(shape.stride), count: 2),
                    [Int64](repeating: Int64(shape.padding), count: 2),
                    [Int64(shape.paddingBelow), Int64(shape.paddingRight)], hint?.descriptor, attributes)
            }
        }
        forwardPass = try primitive(convolution_forward)
        inputGradient = try primitive(convolution_input_gradient, hint: forwardPass)
        weightGradient =
            device.precision == .float32 ? try primitive(convolution_weight_gradient, hint: forwardPass) : nil
        toForwardPass = try Reordering(
            from: plainWeights.base, to: forwardPass.description(of: DNNL_ARG_WEIGHTS), device: device)
        toInputGradient = try Reordering(
            from: plainWeights.base, to: inputGradient.description(of: DNNL_ARG_WEIGHTS), device: device)
        fromWeightGradient = try weightGradient.flatMap {
            try Reordering(
                from: $0.description(of: DNNL_ARG_DIFF_WEIGHTS), to: plainWeights.base, device: device)
        }
    }

    func forward(_ input: Operand, _ weights: Tensor, into output: Tensor) throws {
        device.timeline?.count(operations: shape.operations)
        let weights = try reordered(weights, by: toForwardPass)
        try forwardPass.run([
            (DNNL_ARG_SRC, input.address),
            (DNNL_ARG_WEIGHTS, weights.address),
            (DNNL_ARG_DST, output.address),
        ])
    }

    /// Weights as a pass takes them.
    private func reordered(_ weights: Tensor, by reordering: Reordering?) throws -> Tensor {
        let rounded = device.roundsInFloat32 ? device.rounded(weights) : weights
        return try reordering?.of(rounded) ?? rounded
    }

    func backward(_ outputGradient: Operand, _ weights: Tensor, intoInput gradient: Tensor) throws {
        device.timeline?.count(operations: shape.operations)
        let weights = try reordered(weights, by: toInputGradient)
        try inputGradient.run([
            (DNNL_ARG_DIFF_DST, outputGradient.address),
            (DNNL_ARG_WEIGHTS, weights.address),
            (DNNL_ARG_DIFF_SRC, gradient.address),
        ])
    }

    func backward(_ outputGradient: Operand, input: Operand, intoWeights gradient: Tensor) throws {
        guard let weightGradient else {
            return try backwardByPatches(outputGradient, input: input, intoWeights: gradient)
        }
        device.timeline?.count(operations: shape.operations)
        let result = fromWeightGradient.map { device.tensor([$0.inputElements]) } ?? gradient
        try weightGradient.run([
            (DNNL_ARG_SRC, input.address),
            (DNNL_ARG_DIFF_DST, outputGradient.address),
            (DNNL_ARG_DIFF_WEIGHTS, result.address),
        ])
        try fromWeightGradient?.run(result, into: gradient)
    }
}
