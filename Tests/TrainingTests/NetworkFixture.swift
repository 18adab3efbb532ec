import Autodiff
import Collectives
import Foundation
import Layers
import Networks
import Tensors
import Testing

/// What a network of PyTorch computes in float64. `Fixtures/network_fixture.py` made the numbers.
struct NetworkFixture: Decodable {
    /// Number of the images.
    let images: Int
    let shapes: [String: [Int]]
    let evaluated: [Double], trained: [Double]
    /// By parameter: norm, and product with a wave.
    let gradients: [String: [Double]]
    /// Norms of the running statistics after the training pass.
    let statistics: [String: Double]

    /// The cases of a file in `Fixtures`.
    static func cases<Case: Decodable>(_ type: Case.Type, in file: String) throws -> [Case] {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures")
        return try JSONDecoder().decode([Case].self, from: Data(contentsOf: folder.appending(path: file)))
    }

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

    /// An encoder's arrays with the script's numbers.
    private func arrays(_ declare: Declarations, device: Device) throws -> ParameterSet {
        let set = ParameterSet(declare, device: device, seed: 0)
        for (number, name) in shapes.keys.sorted().enumerated() {
            let shape = try #require(shapes[name])
            let values = start(of: name, shape, number: number)
            if let parameter = set.parameters.first(where: { $0.name == name }) {
                #expect(parameter.shape == shape, "\(name)")
                _ = parameter.value.elements.update(fromContentsOf: values)
            } else {
                let state = try #require(set.states.first { $0.name == name }, "no array \(name)")
                #expect(state.shape == shape, "\(name)")
                state.values = values
            }
        }
        #expect(set.parameters.count + set.states.count == shapes.count)
        return set
    }

    /// Compares an encoder's layer, its gradients and its running statistics with the fixture.
    /// - Parameters:
    ///   - shape: of the images, [n, H, W, channels].
    ///   - encoder: declares it.
    func check(
        _ layer: EncoderLayer, images shape: [Int], _ label: String, encoder make: (Declarations) throws -> ImageEncoder
    ) throws {
        let device = try Device()
        let declare = Declarations()
        let encoder = try make(declare)
        let set = try arrays(declare, device: device)
        let shares = Shares(counts: [shape[0]], rank: 0)
        let pixels = device.tensor(shape, waves(shape.reduce(1, *), images, 2))
        let evaluation = Tape(device: device, ranks: SingleRank(), shares: shares, mode: .evaluation)
        let features = try encoder(evaluation, evaluation.constant(pixels)).output(layer, on: evaluation)
        expectClose(features.value.array, evaluated, within: 2e-6, "evaluated, \(label)")

        let tape = Tape(device: device, ranks: SingleRank(), shares: shares)
        let y = try encoder(tape, tape.constant(pixels)).output(layer, on: tape)
        expectClose(y.value.array, trained, within: 5e-5, "trained, \(label)")
        try tape.backward(from: [(y, device.tensor(y.shape, waves(y.value.count, 200, 1)))])
        for parameter in set.parameters {
            let expected = try #require(gradients[parameter.name])
            let gradient = parameter.gradient.array
            let wave = waves(gradient.count, 300, 1)
            let norm = gradient.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
            let projection = zip(gradient, wave).reduce(0) { $0 + Double($1.0) * Double($1.1) }
            // A batch norm over five rows multiplies rounding.
            #expect(abs(norm - expected[0]) < 1e-3 * expected[0], "\(parameter.name), \(label)")
            #expect(abs(projection - expected[1]) < 1e-3 * expected[0], "\(parameter.name), \(label)")
        }
        tape.settle()
        for state in set.states where statistics[state.name] != nil || state.name.contains("running") {
            let norm = state.values.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
            let expected = try #require(statistics[state.name])
            #expect(abs(norm - expected) < 1e-5 * expected, "\(state.name), \(label)")
        }
    }

    private func expectClose(_ found: [Float], _ expected: [Double], within tolerance: Double, _ name: String) {
        let largest = expected.map(abs).max() ?? 0
        #expect(found.count == expected.count, "\(name)")
        for (a, b) in zip(found, expected) { #expect(abs(Double(a) - b) <= tolerance * largest, "\(name): \(a), \(b)") }
    }
}
