import Autodiff
import Layers

/// The summary of an image for DIM(G): two 3x3 convolutions from its local feature map to one vector (Hjelm et al.
/// 2019, appendix A.2). A map of less than 5x5 is only flattened.
struct GlobalSummary {
    private let convolutions: [(Conv2D, BatchNorm)]
    /// F, width of the vector.
    let width: Int

    init(_ declare: Declarations, height: Int, width: Int, channels: Int, batchNorm: BatchNormScope) {
        guard min(height, width) >= 5 else {
            convolutions = []
            self.width = height * width * channels
            return
        }
        let declare = declare.within("summary")
        convolutions = zip([channels, 64], [64, 32]).enumerated().map { index, sizes in
            (
                Conv2D(
                    declare, "conv\(index + 1)", inputs: sizes.0, outputs: sizes.1, kernel: 3, stride: 1, padding: 0),
                BatchNorm(declare, "norm\(index + 1)", channels: sizes.1, rectified: true, scope: batchNorm)
            )
        }
        self.width = (height - 4) * (width - 4) * 32
    }

    /// [n, H, W, C] to [n, F].
    func callAsFunction(_ tape: Tape, _ map: Variable) throws -> Variable {
        let last = try convolutions.reduce(map) { try $1.1(tape, $1.0(tape, $0)) }
        return tape.reshape(last, [map.shape[0], width])
    }
}
