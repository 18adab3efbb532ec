import Autodiff
import Layers
import Tensors
import Testing

@Suite struct ParameterSetTests {
    private let device: Device

    init() throws { device = try Device() }

    private func declare() -> Declarations {
        let declarations = Declarations()
        let encoder = declarations.within("encoder")
        _ = Conv2D(encoder, "conv1", inputs: 3, outputs: 5, kernel: 2, stride: 1, padding: 0)
        _ = BatchNorm(encoder, "norm1", channels: 5, rectified: true)
        _ = Linear(declarations, "head", inputs: 7, outputs: 40)
        _ = Linear(declarations, "last", inputs: 4, outputs: 4, bias: false)
        return declarations
    }

    @Test func namesAndShapes() {
        let set = ParameterSet(declare(), device: device, seed: 1)
        #expect(
            set.parameters.map(\.name) == [
                "encoder.conv1.weight", "encoder.norm1.weight", "encoder.norm1.bias", "head.weight", "head.bias",
                "last.weight",
            ])
        #expect(set.parameters.map(\.shape) == [[5, 3, 2, 2], [5], [5], [40, 7], [40], [4, 4]])
        #expect(set.states.map(\.name) == ["encoder.norm1.running_mean", "encoder.norm1.running_var"])
        #expect(set.states.map(\.values) == [[0, 0, 0, 0, 0], [1, 1, 1, 1, 1]])
    }

    @Test func liesFlatOnCacheLines() {
        let set = ParameterSet(declare(), device: device, seed: 1)
        let starts = set.parameters.map { $0.value.base - set.values.base }
        #expect(starts == [0, 64, 80, 96, 384, 432])
        #expect(set.parameters.map { $0.gradient.base - set.gradients.base } == starts)
        #expect(set.count == 448 && set.gradients.count == 448)
        #expect(set.gradients.array.allSatisfy { $0 == 0 })
        let gaps = [60..<64, 69..<80, 85..<96, 376..<384, 424..<432]
        #expect(gaps.joined().allSatisfy { set.values.base[$0] == 0 })
        // Writing to the whole is writing to each.
        set.values.fill(3)
        #expect(set.parameters.allSatisfy { $0.value.array.allSatisfy { $0 == 3 } })
    }

    @Test func startsByTheSeed() {
        let first = ParameterSet(declare(), device: device, seed: 1).values.array
        #expect(ParameterSet(declare(), device: device, seed: 1).values.array == first)
        let other = ParameterSet(declare(), device: device, seed: 2)
        #expect(other.values.array != first)
        for parameter in other.parameters where parameter.name.hasSuffix("norm1.weight") {
            #expect(parameter.value.array == [1, 1, 1, 1, 1])
        }
        // Later declarations leave earlier parameters as they were.
        let longer = declare()
        _ = Linear(longer, "more", inputs: 2, outputs: 2)
        #expect(ParameterSet(longer, device: device, seed: 1).values.array.starts(with: first))
    }

    @Test func startsUniformlyWithinTheFanIn() throws {
        let declarations = Declarations()
        let layers = [
            Linear(declarations, "linear", inputs: 25, outputs: 200).weight,
            Conv2D(declarations, "conv", inputs: 4, outputs: 100, kernel: 5, stride: 1, padding: 0).weight,
        ]
        _ = ParameterSet(declarations, device: device, seed: 1)
        for (parameter, bound) in zip(layers, [0.2, 0.1]) {  // 1/sqrt(25), 1/sqrt(4·5·5)
            let values = parameter.value.array.map(Double.init)
            let count = Double(values.count)
            let largest = values.map(abs).max() ?? 0
            #expect(largest <= bound * (1 + 1e-6) && largest > 0.99 * bound, "\(parameter.name)")
            // Five deviations of the mean and of the mean square of uniform numbers: b/sqrt(3n) and 2b²/sqrt(45n).
            let mean = values.reduce(0, +) / count
            let square = values.reduce(0) { $0 + $1 * $1 } / count
            #expect(abs(mean) < 5 * bound / (3 * count).squareRoot(), "\(parameter.name)")
            #expect(abs(square - bound * bound / 3) < 10 * bound * bound / (45 * count).squareRoot())
        }
        #expect(layers[0].value.array[..<100] != layers[1].value.array[..<100].map { 2 * $0 }[...])
    }

    @Test func layersAreWhatTheirNamesSay() throws {
        let declarations = Declarations()
        let linear = Linear(declarations, "linear", inputs: 2, outputs: 3)
        let convolution = Conv2D(declarations, "conv", inputs: 1, outputs: 1, kernel: 2, stride: 2, padding: 0)
        _ = ParameterSet(declarations, device: device, seed: 1)
        _ = linear.weight.value.elements.update(fromContentsOf: [1, 2, 3, 4, 5, 6])
        let bias = try #require(linear.bias)
        _ = bias.value.elements.update(fromContentsOf: [10, 20, 30])
        _ = convolution.weight.value.elements.update(fromContentsOf: [1, 10, 100, 1000])
        let tape = Tape(device: device)
        let y = try linear(tape, tape.constant(device.tensor([2, 1, 2], [1, 1, 0, 1])))
        #expect(y.shape == [2, 1, 3])
        #expect(y.value.array == [13, 27, 41, 12, 24, 36])
        let z = try convolution(tape, tape.constant(device.tensor([1, 2, 4, 1], [1, 2, 3, 4, 5, 6, 7, 8])))
        #expect(z.shape == [1, 1, 2, 1])
        #expect(z.value.array == [6521, 8743])
    }
}
