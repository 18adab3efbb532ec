import CBLAS

/// The processor that OpenBLAS takes this one for, by the name of its kernels.
package func linearAlgebraKernel() -> String { String(cString: openblas_get_corename()) }

extension Device {
    /// Speed of a 1024x1024 product, in GFLOP/s; the best of five.
    package func measureProducts() throws -> Double {
        let size = 1024
        let (a, b) = (tensor([size, size], filledWith: 1), tensor([size, size], filledWith: 1))
        let c = tensor([size, size])
        let (first, second) = (operand(a), operand(b))
        let best =
            try (0..<5).map { _ in
                let start = ContinuousClock.now
                try multiply(first, second, into: c.matrix)
                return start.duration(to: .now) / .seconds(1)
            }.min() ?? .infinity
        return 2 * Double(size * size * size) / best / 1e9
    }
}
