import Autodiff
import Layers
import Tensors

/// The coordinate task of Hjelm et al. 2019 (appendix): from a location's local vector and the code, tell its row and
/// its column; two softmax losses, means over all locations of the global batch.
struct CoordinatePrediction {
    private let scope: BatchNormScope
    private let first, scale, shift: Parameter
    private let last, shortcut: Linear
    private let height: Int, width: Int

    /// - Parameters:
    ///   - height: H, and W the width, of the local map; C its channels; K the width of the code.
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
        let places = 0..<locals.shape[0]
        let rows = tape.crossEntropy(
            tape.columns(logits, 0..<height), labels: places.map { $0 % locations / width }, rowsPerImage: locations)
        let columns = tape.crossEntropy(
            tape.columns(logits, height..<height + width), labels: places.map { $0 % width }, rowsPerImage: locations)
        return tape.add(rows, columns)
    }
}
