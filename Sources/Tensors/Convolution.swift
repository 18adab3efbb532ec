import COneDNN

/// Sizes of a 2-d convolution over square kernels. Images are NHWC, weights OIHW.
package struct ConvolutionShape: Hashable, Sendable {
    package var images, height, width, inputChannels, outputChannels, kernel, stride, padding: Int

    package init(
        images: Int, height: Int, width: Int, inputChannels: Int, outputChannels: Int, kernel: Int, stride: Int,
        padding: Int
    ) {
        self.images = images
        self.height = height
        self.width = width
        self.inputChannels = inputChannels
        self.outputChannels = outputChannels
        self.kernel = kernel
        self.stride = stride
        self.padding = padding
    }

    package var outputHeight: Int { (height + 2 * padding - kernel) / stride + 1 }
    package var outputWidth: Int { (width + 2 * padding - kernel) / stride + 1 }
    package var input: [Int] { [images, height, width, inputChannels] }
    package var output: [Int] { [images, outputHeight, outputWidth, outputChannels] }
    /// Floating-point operations of the convolution, and of each of its gradients.
    package var operations: Int { 2 * output.reduce(1, *) * inputChannels * kernel * kernel }
    package var weights: [Int] { [outputChannels, inputChannels, kernel, kernel] }
}

/// oneDNN's convolution of one shape and its two gradients.
///
/// Weights come and go as plain OIHW, and are reordered to the layout that each kernel needs.
package final class ConvolutionKernel {
    private let forwardPass: Primitive
    private let inputGradient: Primitive
    private let weightGradient: Primitive
    private let toForwardPass, toInputGradient, fromWeightGradient: Reordering?
    private let shape: ConvolutionShape
    private unowned let device: Device

    init(_ shape: ConvolutionShape, device: Device) throws {
        self.shape = shape
        self.device = device
        // oneDNN writes sizes as N, C, H, W for any layout in memory.
        let input = try Description(
            [shape.images, shape.inputChannels, shape.height, shape.width], dnnl_nhwc)
        let output = try Description(
            [shape.images, shape.outputChannels, shape.outputHeight, shape.outputWidth], dnnl_nhwc)
        let weights = try Description(shape.weights, dnnl_format_tag_any)
        let plainWeights = try Description(shape.weights, dnnl_oihw)
        func primitive(_ pass: ConvolutionPass, hint: Primitive? = nil) throws -> Primitive {
            try Primitive(device: device) { result, attributes in
                convolution_description_create(
                    &result, device.engine, pass, input.base, weights.base, output.base,
                    [Int64](repeating: Int64(shape.stride), count: 2),
                    [Int64](repeating: Int64(shape.padding), count: 2), hint?.descriptor, attributes)
            }
        }
        forwardPass = try primitive(convolution_forward)
        inputGradient = try primitive(convolution_input_gradient, hint: forwardPass)
        weightGradient = try primitive(convolution_weight_gradient, hint: forwardPass)
        toForwardPass = try Reordering(
            from: plainWeights.base, to: forwardPass.description(dnnl_query_weights_md), device: device)
        toInputGradient = try Reordering(
            from: plainWeights.base, to: inputGradient.description(dnnl_query_weights_md), device: device)
        fromWeightGradient = try Reordering(
            from: weightGradient.description(dnnl_query_diff_weights_md), to: plainWeights.base, device: device)
    }

    /// `output = weights * input`.
    package func forward(_ input: Tensor, _ weights: Tensor, into output: Tensor) throws {
        device.timeline?.count(operations: shape.operations)
        let weights = try toForwardPass?.of(weights) ?? weights
        try forwardPass.run([
            (DNNL_ARG_SRC, dnnl_query_src_md, input), (DNNL_ARG_WEIGHTS, dnnl_query_weights_md, weights),
            (DNNL_ARG_DST, dnnl_query_dst_md, output),
        ])
    }

    /// `gradient` of the loss by the input, from the gradient by the output.
    package func backward(_ outputGradient: Tensor, _ weights: Tensor, intoInput gradient: Tensor) throws {
        device.timeline?.count(operations: shape.operations)
        let weights = try toInputGradient?.of(weights) ?? weights
        try inputGradient.run([
            (DNNL_ARG_DIFF_DST, dnnl_query_diff_dst_md, outputGradient),
            (DNNL_ARG_WEIGHTS, dnnl_query_weights_md, weights), (DNNL_ARG_DIFF_SRC, dnnl_query_diff_src_md, gradient),
        ])
    }

    /// `gradient` of the loss by the weights (OIHW), from the gradient by the output.
    package func backward(_ outputGradient: Tensor, input: Tensor, intoWeights gradient: Tensor) throws {
        device.timeline?.count(operations: shape.operations)
        let result = fromWeightGradient.map { device.tensor([$0.inputElements]) } ?? gradient
        try weightGradient.run([
            (DNNL_ARG_SRC, dnnl_query_src_md, input), (DNNL_ARG_DIFF_DST, dnnl_query_diff_dst_md, outputGradient),
            (DNNL_ARG_DIFF_WEIGHTS, dnnl_query_diff_weights_md, result),
        ])
        try fromWeightGradient?.run(result, into: gradient)
    }
}

/// Copies an array to another layout.
private final class Reordering {
    private let primitive: Primitive
    private unowned let device: Device

    /// nil where both layouts are the same.
    init?(from source: MemoryDescription, to destination: MemoryDescription, device: Device) throws {
        if dnnl_memory_desc_equal(source, destination) != 0 { return nil }
        self.device = device
        primitive = try Primitive(device: device) { result, attributes in
            dnnl_reorder_primitive_desc_create(
                &result, source, device.engine, destination, device.engine, attributes)
        }
    }

    /// Floats of the source, including padding of its layout.
    var inputElements: Int { primitive.elements(dnnl_query_src_md) }

    func of(_ input: Tensor) throws -> Tensor {
        let result = device.tensor([primitive.elements(dnnl_query_dst_md)])
        try run(input, into: result)
        return result
    }

    func run(_ input: Tensor, into output: Tensor) throws {
        try primitive.run([(DNNL_ARG_SRC, dnnl_query_src_md, input), (DNNL_ARG_DST, dnnl_query_dst_md, output)])
    }
}

/// Sizes and layout of an array of float32, as oneDNN takes them.
private final class Description {
    let base: MemoryDescription

    init(_ sizes: [Int], _ layout: dnnl_format_tag_t) throws {
        var base: MemoryDescription? = nil
        try check(
            "memory_description_create",
            memory_description_create(&base, Int32(sizes.count), sizes.map(Int64.init), dnnl_f32, layout))
        self.base = base!
    }

    deinit { memory_description_destroy(base) }
}

/// A oneDNN primitive with its description. Its scratch memory comes from the device's pool.
private final class Primitive {
    let descriptor: dnnl_primitive_desc_t
    private let primitive: dnnl_primitive_t
    private unowned let device: Device

    /// - Parameter describe: makes the description with the given attributes.
    init(
        device: Device, _ describe: (inout dnnl_primitive_desc_t?, dnnl_primitive_attr_t?) -> dnnl_status_t
    ) throws {
        var attributes: dnnl_primitive_attr_t? = nil
        try check("dnnl_primitive_attr_create", dnnl_primitive_attr_create(&attributes))
        defer { dnnl_primitive_attr_destroy(attributes) }
        try check(
            "dnnl_primitive_attr_set_scratchpad_mode",
            dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user))
        var descriptor: dnnl_primitive_desc_t? = nil
        try check("a description of a primitive", describe(&descriptor, attributes))
        var primitive: dnnl_primitive_t? = nil
        try check("dnnl_primitive_create", dnnl_primitive_create(&primitive, descriptor))
        self.descriptor = descriptor!
        self.primitive = primitive!
        self.device = device
    }

    deinit {
        dnnl_primitive_destroy(primitive)
        dnnl_primitive_desc_destroy(descriptor)
    }

    /// Valid as long as this primitive.
    func description(_ what: dnnl_query_t) -> MemoryDescription {
        dnnl_primitive_desc_query_md(descriptor, what, 0)!
    }

    /// Floats of one of its arrays.
    func elements(_ what: dnnl_query_t) -> Int { (dnnl_memory_desc_get_size(description(what)) + 3) / 4 }

    /// - Parameter arguments: for each: the argument, the query of its description, and the array.
    func run(_ arguments: [(Int32, dnnl_query_t, Tensor)]) throws {
        let scratch = device.tensor([elements(dnnl_query_scratchpad_md)])
        var memories: [dnnl_exec_arg_t] = []
        defer { for memory in memories { dnnl_memory_destroy(memory.memory) } }
        for (argument, what, tensor) in arguments + [(DNNL_ARG_SCRATCHPAD, dnnl_query_scratchpad_md, scratch)] {
            var memory: dnnl_memory_t? = nil
            try check(
                "dnnl_memory_create", dnnl_memory_create(&memory, description(what), device.engine, tensor.base))
            memories.append(dnnl_exec_arg_t(arg: argument, memory: memory))
        }
        try check(
            "dnnl_primitive_execute",
            dnnl_primitive_execute(primitive, device.stream, Int32(memories.count), memories))
        try check("dnnl_stream_wait", dnnl_stream_wait(device.stream))
    }
}
