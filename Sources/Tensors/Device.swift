import COneDNN
import Collectives

/// The device that a rank computes with: memory that it reuses, oneDNN's engine, and the number of its kernels'
/// threads.
///
/// It belongs to the thread that made it, and so do all tensors made from it.
package final class Device {
    package let threads: Int
    /// Of products and convolutions.
    package let precision: Precision
    package let memory = MemoryPool()
    /// Whether the machine has a core that no rank's kernels use.
    package var hasSpareCore = false
    /// The timeline of measured steps; nil in training.
    package var timeline: Timeline?
    let engine: dnnl_engine_t
    let stream: dnnl_stream_t
    private var convolutions: [ConvolutionShape: any ConvolutionKernel] = [:]
    private var roundedProducts: [RoundedProductShape: Primitive] = [:]

    /// - Parameter threads: threads of this rank's kernels, at least 1.
    package init(threads: Int = 1, precision: Precision = .float32) throws {
        self.threads = threads
        self.precision = precision
        omp_set_num_threads(Int32(threads))
        var engine: dnnl_engine_t? = nil
        try check("dnnl_engine_create", dnnl_engine_create(&engine, dnnl_cpu, 0))
        self.engine = engine!
        var stream: dnnl_stream_t? = nil
        try check("dnnl_stream_create", dnnl_stream_create(&stream, self.engine, dnnl_stream_default_flags.rawValue))
        self.stream = stream!
    }

    deinit {
        convolutions.removeAll()
        roundedProducts.removeAll()
        dnnl_stream_destroy(stream)
        dnnl_engine_destroy(engine)
    }

    /// A tensor whose elements are not set.
    package func tensor(_ shape: [Int]) -> Tensor {
        Tensor(storage: Storage(memory, count: shape.reduce(1, *)), offset: 0, shape: shape)
    }

    /// A tensor whose elements lie in memory of `owner`, which it keeps alive.
    package func tensor(_ shape: [Int], at base: UnsafeMutablePointer<Float>, of owner: AnyObject) -> Tensor {
        let storage = Storage(memory, base: base, count: shape.reduce(1, *), of: owner)
        return Tensor(storage: storage, offset: 0, shape: shape)
    }

    /// A tensor of equal elements.
    package func tensor(_ shape: [Int], filledWith value: Float) -> Tensor {
        let result = tensor(shape)
        result.fill(value)
        return result
    }

    /// A tensor that holds `values` in row-major order.
    package func tensor(_ shape: [Int], _ values: [Float]) -> Tensor {
        precondition(values.count == shape.reduce(1, *), "\(values.count) values for shape \(shape)")
        let result = tensor(shape)
        _ = result.elements.update(fromContentsOf: values)
        return result
    }

    /// The kernel for convolutions of this shape, made on first use.
    package func convolution(_ shape: ConvolutionShape) throws -> any ConvolutionKernel {
        if let kernel = convolutions[shape] { return kernel }
        let kernel: any ConvolutionKernel =
            try WinogradConvolution(shape, device: self) ?? DirectConvolution(shape, device: self)
        convolutions[shape] = kernel
        return kernel
    }

    /// oneDNN's product of bfloat16 of this shape, made on first use.
    func roundedProduct(_ shape: RoundedProductShape) throws -> Primitive {
        if let product = roundedProducts[shape] { return product }
        let product = try shape.primitive(device: self)
        roundedProducts[shape] = product
        return product
    }
}

/// A failed oneDNN call.
package struct OneDNNError: Error, CustomStringConvertible {
    let call: StaticString
    let status: dnnl_status_t

    package var description: String { "\(call) failed with oneDNN status \(status.rawValue)" }
}

func check(_ call: StaticString, _ status: dnnl_status_t) throws {
    guard status == dnnl_success else { throw OneDNNError(call: call, status: status) }
}
