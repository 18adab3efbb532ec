import Autodiff
import Collectives
import Foundation
import Layers
import Networks
import Tensors
import Testing

/// Residual networks against torchvision's, in float64. `Fixtures/residual.py` made the numbers.
struct ResidualNetworkTests {
    private struct Case: Decodable {
        let bottleneck: Bool, stem: ResidualStem, blocks: [Int]
        /// Number of the images.
        let images: Int
        let shapes: [String: [Int]]
        let evaluated: [Double], trained: [Double]
        /// By parameter: norm, and product with a wave.
        let gradients: [String: [Double]]
        /// Norms of the running statistics after the training pass.
        let statistics: [String: Double]
    }

    private static let width = 4
    private static let image = MapShape(height: 12, width: 17, channels: 3)
    private static let images = 5

    /// The script's numbers.
    private func waves(_ count: Int, _ number: Int, _ scale: Double, offset: Double = 0) -> [Float] {
        (0..<count).map { (index: Int) -> Float in
            let i = Double(index)
            let sum: Double = sin(0.7 * i + Double(number)) + sin(0.49 * i)
            return Float(offset + scale * sum / 2)
        }
    }

    /// The script's numbers for an array of the network.
    private func start(of name: String, _ shape: [Int], number: Int) -> [Float] {
        let count = shape.reduce(1, *)
        if shape.count == 4 { return waves(count, number, 2 / Double(count / shape[0]).squareRoot()) }
        let isShift = name.hasSuffix("running_mean") || name.hasSuffix("bias")
        return isShift ? waves(count, number, 0.3, offset: 0.1) : waves(count, number, 0.4, offset: 1)
    }

    private func network(_ item: Case, device: Device) throws -> (encoder: ImageEncoder, set: ParameterSet) {
        var settings = EncoderSettings(code: 0)
        settings.kind = .residual
        settings.residual.depth = 0
        (settings.residual.blocks, settings.residual.bottleneck) = (item.blocks, item.bottleneck)
        (settings.residual.width, settings.residual.stem) = (Self.width, item.stem)
        let declare = Declarations()
        let encoder = try ImageEncoder(
            declare, settings, image: ImageProperties(Self.image), codeBias: false, batchNorm: .sync)
        let set = ParameterSet(declare, device: device, seed: 0)
        for (number, name) in item.shapes.keys.sorted().enumerated() {
            let shape = try #require(item.shapes[name])
            let values = start(of: name, shape, number: number)
            if let parameter = set.parameters.first(where: { $0.name == name }) {
                #expect(parameter.shape == shape, "\(name)")
                _ = parameter.value.elements.update(fromContentsOf: values)
            } else {
                let state = try #require(set.states.first { $0.name == name }, "no array \(name)")
                state.values = values
            }
        }
        #expect(set.parameters.count + set.states.count == item.shapes.count)
        return (encoder, set)
    }

    private func expectClose(_ found: [Float], _ expected: [Double], within tolerance: Double, _ what: String) {
        let largest = expected.map(abs).max() ?? 0
        #expect(found.count == expected.count, "\(what)")
        for (a, b) in zip(found, expected) { #expect(abs(Double(a) - b) <= tolerance * largest, "\(what): \(a), \(b)") }
    }

    @Test func agreesWithTorchvision() throws {
        let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures/residual.json")
        let cases = try JSONDecoder().decode([Case].self, from: Data(contentsOf: file))
        #expect(cases.count == 4)
        let shares = Shares(counts: [Self.images], rank: 0)
        for item in cases {
            let label = "\(item.bottleneck ? "bottleneck" : "basic") \(item.stem)"
            let device = try Device()
            let (encoder, set) = try network(item, device: device)
            let shape = [Self.images, Self.image.height, Self.image.width, Self.image.channels]
            let images = device.tensor(shape, waves(shape.reduce(1, *), item.images, 2))

            let evaluation = Tape(device: device, ranks: SingleRank(), shares: shares, mode: .evaluation)
            expectClose(
                try encoder(evaluation, evaluation.constant(images)).code.value.array, item.evaluated, within: 2e-6,
                "evaluated, \(label)")

            let tape = Tape(device: device, ranks: SingleRank(), shares: shares)
            let y = try encoder(tape, tape.constant(images)).code
            expectClose(y.value.array, item.trained, within: 5e-5, "trained, \(label)")
            try tape.backward(from: [(y, device.tensor(y.shape, waves(y.value.count, 200, 1)))])
            for parameter in set.parameters {
                let expected = try #require(item.gradients[parameter.name])
                let gradient = parameter.gradient.array
                let wave = waves(gradient.count, 300, 1)
                let norm = gradient.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
                let projection = zip(gradient, wave).reduce(0) { $0 + Double($1.0) * Double($1.1) }
                // A batch norm over five rows multiplies rounding.
                #expect(abs(norm - expected[0]) < 1e-3 * expected[0], "\(parameter.name), \(label)")
                #expect(abs(projection - expected[1]) < 1e-3 * expected[0], "\(parameter.name), \(label)")
            }
            tape.settle()
            for state in set.states {
                let norm = state.values.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
                let expected = try #require(item.statistics[state.name])
                #expect(abs(norm - expected) < 1e-5 * expected, "\(state.name), \(label)")
            }
        }
    }

    /// Parameters of torchvision's `resnet18`, `resnet34` and `resnet50` without `fc`, as it counts them.
    @Test(arguments: [(18, 11_176_512), (34, 21_284_672), (50, 23_508_032)])
    func publishedNetworksHaveTheirParameters(depth: Int, count: Int) throws {
        var settings = EncoderSettings(code: 0)
        settings.kind = .residual
        settings.residual.depth = depth
        let declare = Declarations()
        let image = ImageProperties(MapShape(height: 224, width: 224, channels: 3))
        let encoder = try ImageEncoder(declare, settings, image: image, codeBias: false, batchNorm: .sync)
        #expect(declare.parameterCount == count)
        #expect(encoder.codeSize == (depth == 50 ? 2048 : 512))
        #expect("\(encoder)".hasPrefix("ResNet-\(depth) of width 64, imageNet stem, local map 7x7x"))
    }
}
