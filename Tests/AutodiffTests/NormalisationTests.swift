import Autodiff
import Collectives
import Layers
import Tensors
import Testing

@Suite struct NormalisationTests {
    private let device: Device

    init() throws { device = try Device() }

    /// Output and the gradients of a random projection of it, by all inputs.
    private func run(
        _ inputs: [Values], _ function: (Tape, [Variable]) throws -> Variable
    ) throws -> [[Float]] {
        let values = inputs.map { device.tensor($0.shape, $0.elements) }
        let gradients = inputs.map { device.tensor($0.shape) }
        let tape = Tape(device: device)
        let y = try function(tape, zip(values, gradients).map { tape.parameter($0, gradient: $1) })
        try tape.backward(from: tape.projection([(y, normals(y.value.count, 9))]))
        return [y.value.array] + gradients.map(\.array)
    }

    @Test(arguments: [false, true])
    func batchNormAgreesWithTheDefinition(rectified: Bool) throws {
        let (rows, channels) = (70, 3)
        let x = normals(rows * channels, 1).enumerated().map { i, z in Float(i % channels) * 3 + 2 * z }
        let (scale, shift): ([Float], [Float]) = ([1, -2, 0.5], [0.5, 0, -1])
        let tape = Tape(device: device)
        let (y, batch) = try tape.batchNorm(
            tape.constant(device.tensor([7, 10, channels], x)), scale: tape.constant(device.tensor([channels], scale)),
            shift: tape.constant(device.tensor([channels], shift)), rectified: rectified, scope: .sync)
        let (statistics, count) = try #require(batch)
        #expect(count == rows)
        var expected = [Double](repeating: 0, count: x.count)
        for c in 0..<channels {
            let indices = stride(from: c, to: x.count, by: channels)
            let mean = indices.reduce(0) { $0 + Double(x[$1]) } / Double(rows)
            let variance = indices.reduce(0) { $0 + (Double(x[$1]) - mean) * (Double(x[$1]) - mean) } / Double(rows)
            expectClose([statistics.mean[c]], [mean], within: 2e-6)
            expectClose([statistics.variance[c]], [variance], within: 1e-5)
            for i in indices {
                let value = Double(scale[c]) * (Double(x[i]) - mean) / (variance + 1e-5).squareRoot() + Double(shift[c])
                expected[i] = rectified ? max(value, 0) : value
            }
        }
        expectClose(y.value.array, expected, within: 1e-5)
    }

    @Test func equalRowsAreFinite() throws {
        // The variance is 0, which rounding may turn negative.
        let outputs = try run([Values([9, 1], Array(repeating: 1.1, count: 9)), Values([1], [2]), Values([1], [0.5])]) {
            try $0.batchNorm($1[0], scale: $1[1], shift: $1[2], rectified: false, scope: .sync).y
        }
        #expect(outputs.joined().allSatisfy { $0.isFinite })
        #expect(outputs[0].allSatisfy { abs($0 - 0.5) < 0.01 })
    }

    @Test func foldedAndPlainNormalisationAgree() throws {
        let (rows, channels, units) = (48, 6, 10)
        let x = normals(rows * channels, 1).enumerated().map { i, z in Float(i % channels) - 2 + z }
        let inputs = [
            Values([4, 12, channels], x), Values([units, channels], 2), Values([units], 3), Values([units], 4),
        ]
        let folded = try run(inputs) {
            try $0.momentNormalisedLinear($1[0], weight: $1[1], scale: $1[2], shift: $1[3], scope: .sync)
        }
        let plain = try run(inputs) {
            try $0.batchNorm(
                $0.linear($1[0], weight: $1[1]), scale: $1[2], shift: $1[3], rectified: true, scope: .sync
            ).y
        }
        for (what, pair) in zip(["y", "dx", "dw", "dscale", "dshift"], zip(folded, plain)) {
            #expect(relativeDifference(pair.0, pair.1) < 1e-4, "\(what): \(pair.0), plain \(pair.1)")
        }
    }
}

/// The layer's running statistics: momentum 0.1, unbiased variance, as PyTorch keeps them.
@Suite struct BatchNormLayerTests {
    @Test func movesAndUsesRunningStatistics() throws {
        let device = try Device()
        let declarations = Declarations()
        let layer = BatchNorm(declarations, "norm", channels: 2, rectified: false)
        let parameters = ParameterSet(declarations, device: device, seed: 1)
        #expect(parameters.states.map(\.name) == ["norm.running_mean", "norm.running_var"])
        let batch = device.tensor([2, 1, 2], [1, 3, 3, 7])  // means 2 and 5; unbiased variances 2 and 8

        let training = Tape(device: device)
        let y = try layer(training, training.constant(batch))
        expectClose(y.value.array, [-1, -1, 1, 1], within: 1e-5)
        #expect(parameters.states[0].values == [0, 0])  // until the update is known to be finite
        training.settle()
        expectClose(parameters.states[0].values, [0.2, 0.5], within: 1e-6)
        expectClose(parameters.states[1].values, [0.9 + 0.2, 0.9 + 0.8], within: 1e-6)

        let evaluation = Tape(device: device, mode: .evaluation)
        let z = try layer(evaluation, evaluation.constant(batch))
        let (a, b) = (1 / (1.1 + 1e-5).squareRoot(), 1 / (1.7 + 1e-5).squareRoot())
        expectClose(z.value.array, [0.8 * a, 2.5 * b, 2.8 * a, 6.5 * b], within: 1e-6)
        expectClose(parameters.states[0].values, [0.2, 0.5], within: 1e-6)

        training.keepingStatistics { training.whenSettled { Issue.record("not to be kept") } }
        _ = try layer(training, training.constant(batch))
        training.settle()
        expectClose(parameters.states[0].values, [0.38, 0.95], within: 1e-6)
        training.settle()  // once only
        expectClose(parameters.states[0].values, [0.38, 0.95], within: 1e-6)
    }

    @Test func oneRowHasNoUnbiasedVariance() throws {
        let device = try Device()
        let declarations = Declarations()
        let layer = BatchNorm(declarations, "norm", channels: 1, rectified: false)
        let parameters = ParameterSet(declarations, device: device, seed: 1)
        let tape = Tape(device: device)
        _ = try layer(tape, tape.constant(device.tensor([1, 1], [5])))
        tape.settle()
        expectClose(parameters.states.flatMap(\.values), [0.5, 0.9], within: 1e-6)
    }
}
