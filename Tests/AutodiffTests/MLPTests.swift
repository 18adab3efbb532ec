import Autodiff
import Layers
import Tensors
import Testing

@Suite struct MLPTests {
    private func declared(_ hidden: MLP.Hidden) throws -> (mlp: MLP, parameters: ParameterSet) {
        let declarations = Declarations()
        let mlp = MLP(declarations, "projector", inputs: 3, widths: [4, 5, 2], hidden: hidden)
        return (mlp, ParameterSet(declarations, device: try Device(), seed: 1))
    }

    @Test func layersHaveNamesInOrder() throws {
        let (_, normalised) = try declared(.normalised(.sync))
        #expect(
            normalised.parameters.map(\.name)
                == [
                    "layer1.weight", "norm1.weight", "norm1.bias", "layer2.weight", "norm2.weight", "norm2.bias",
                    "layer3.weight", "layer3.bias",
                ].map { "projector.\($0)" })
        #expect(normalised.parameters[0].shape == [4, 3])
        #expect(normalised.states.count == 4)
        let (_, leaky) = try declared(.leaky(slope: 0.2))
        #expect(
            leaky.parameters.map(\.name)
                == (1...3).flatMap { ["projector.layer\($0).weight", "projector.layer\($0).bias"] })
        #expect(leaky.parameters.map(\.shape) == [[4, 3], [4], [5, 4], [5], [2, 5], [2]])
    }

    @Test func leakyLayersComputeTheirFormula() throws {
        let device = try Device()
        let (mlp, parameters) = try declared(.leaky(slope: 0.2))
        let x = normals(6, 4)
        var expected = (0..<2).map { row in (0..<3).map { Double(x[row * 3 + $0]) } }
        for layer in 0..<3 {
            let (weight, bias) = (parameters.parameters[2 * layer], parameters.parameters[2 * layer + 1])
            expected = expected.map { row in
                (0..<weight.shape[0]).map { u in
                    let y = row.indices.reduce(Double(bias.value.base[u])) {
                        $0 + Double(weight.value.base[u * row.count + $1]) * row[$1]
                    }
                    return y > 0 || layer == 2 ? y : 0.2 * y
                }
            }
        }
        let tape = Tape(device: device, images: 2)
        let y = try mlp(tape, tape.constant(device.tensor([2, 3], x)))
        #expect(y.shape == [2, 2])
        expectClose(y.value.array, expected.flatMap { $0 }, within: 1e-5)
    }

    @Test func normsMakeTheScaleOfTheInputsVanish() throws {
        let device = try Device()
        let (mlp, _) = try declared(.normalised(.sync))
        let x = normals(30, 4)
        let values = try [1, 1000].map { (scale: Float) in
            let tape = Tape(device: device, images: 10)
            return try mlp(tape, tape.constant(device.tensor([10, 3], x.map { scale * $0 }))).value.array
        }
        expectClose(values[1], values[0].map(Double.init), within: 1e-3)
        #expect(Set(values[0]).count > 10)
    }
}
