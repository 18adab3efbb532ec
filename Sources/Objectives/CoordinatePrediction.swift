import Autodiff
import Layers
import Tensors

/// The coordinate task of Hjelm et al. 2019 (appendix): predict a location's row and column from its local vector and
/// the code. It has two softmax losses, which are means over all locations of the global batch.
struct CoordinatePrediction {
    private let scope: BatchNormScope
    private let first, scale, shift: Parameter
    private let last, shortcut: Linear
    private let height: Int, width: Int

    /// - Parameters:
    ///   - height: H, height of the local map. Its width is W, its channels are C, and the width of the code is K.
    init(
        _ declare: Declarations, height: Int, width: Int, channels: Int, code: Int, units: Int,
        batchNorm: BatchNormScope
    ) {
        scope = batchNorm
        (self.height, self.width) = (height, width)
        let inputs = channels + code
        let declare = declare.within("coordinates")
        first = declare.parameter("first.weight", [units, inputs], .uniform(fanIn: inputs))
        scale = declare.parameter("norm.weight", [units], .constant(1))
        shift = declare.parameter("norm.bias", [units], .constant(0))
        last = Linear(declare, "last", inputs: units, outputs: height + width)
        shortcut = Linear(declare, "shortcut", inputs: inputs, outputs: height + width, bias: false)
    }

    /// This rank's part of the loss, a scalar. Collective, in both directions.
    /// - Parameters:
    ///   - locals: [n·H·W, C]
    ///   - code: [n, K]
    func callAsFunction(_ tape: Tape, locals: Variable, code: Variable) throws -> Variable {
        let locations = height * width
        let inputs = tape.concatenateColumns([locals, tape.repeatRows(code, times: locations)])  // [n·H·W, C + K]
        let hidden = try tape.momentNormalisedLinear(
            inputs, weight: tape.use(first), scale: tape.use(scale), shift: tape.use(shift), scope: scope)
        let logits = tape.add(try last(tape, hidden), try shortcut(tape, inputs))  // [n·H·W, H + W]
        let indices = 0..<locals.shape[0]
        let rows = tape.crossEntropy(
            tape.columns(logits, 0..<height), labels: indices.map { $0 % locations / width }, rowsPerImage: locations)
        let columns = tape.crossEntropy(
            tape.columns(logits, height..<height + width), labels: indices.map { $0 % width }, rowsPerImage: locations)
        return tape.add(rows, columns)
    }
}
