import Autodiff
import Collectives
import Tensors

extension Tape {
    /// The deviation of codes: the mean over dimensions of the standard deviation of unit vectors over the global batch
    /// (Chen & He 2021, section 4.1), as this rank's part of the sum, a scalar without gradient. It is about 1/√D where
    /// directions are spread evenly, and 0 where all are the same. Collective.
    ///
    /// - Parameter codes: unit vectors, [rows, D], as many rows for each of the rank's images.
    package func codeDeviation(_ codes: Variable) throws -> Variable {
        let width = codes.shape[1]
        let moments = try ranks.sum(codes.value.matrix.channelMoments() + [Double(codes.shape[0])])
        let rows = max(moments[2 * width], 1)
        let sum = (0..<width).reduce(0.0) { sum, c in
            let mean = moments[c] / rows
            return sum + max(moments[width + c] / rows - mean * mean, 0).squareRoot()
        }
        return constant(device.tensor([1], [Float(fractionOfBatch * sum / Double(max(width, 1)))]))
    }
}
