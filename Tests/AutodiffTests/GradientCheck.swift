import Autodiff
import Tensors
import Testing

/// Numbers under a shape.
struct Values {
    let shape: [Int]
    var elements: [Float]

    init(_ shape: [Int], _ elements: [Float]) {
        precondition(shape.reduce(1, *) == elements.count)
        self.shape = shape
        self.elements = elements
    }

    /// Standard normal numbers, the same for the same `index`.
    init(_ shape: [Int], _ index: Int) { self.init(shape, normals(shape.reduce(1, *), index)) }
}

/// A function on a tape, at a point around which it is smooth.
struct GradientExample {
    let name: String
    /// The variables of the gradient.
    let inputs: [Values]
    let function: (Tape, [Variable]) throws -> Variable

    init(_ name: String, _ inputs: [Values], _ function: @escaping (Tape, [Variable]) throws -> Variable) {
        self.name = name
        self.inputs = inputs
        self.function = function
    }
}

/// Holds the gradients of a function by all elements of its inputs against finite differences of a random projection
/// of its output.
///
/// Differences are central, of fourth order, with a step of 1/64: for values and derivatives of order 1 that leaves
/// about 1e-7 of truncation, and 1e-5 of float32 rounding. A function with a kink must not cross it on the way.
struct GradientCheck {
    private static let step: Float = 1 / 64
    /// Of the largest element of an input's gradient.
    private static let tolerance = 2e-4

    private let example: GradientExample
    private let device: Device
    private let values: [Tensor]

    init(_ example: GradientExample) throws {
        self.example = example
        device = try Device()
        values = example.inputs.map { [device] in device.tensor($0.shape, $0.elements) }
    }

    func callAsFunction() throws {
        let output = try evaluate()
        let weights = normals(output.count, 1000)
        let numerical = try values.map { try differences(in: $0, zeros: output.map { $0 == 0 }, weights) }
        for isDirect in [true, false] {
            for isShared in [true, false] {
                let gradients = try backward(weights, isDirect: isDirect, isShared: isShared)
                for (k, (found, expected)) in zip(gradients, numerical).enumerated() {
                    let difference = relativeDifference(found, expected)
                    #expect(
                        difference <= Self.tolerance,
                        """
                        \(example.name), input \(k), \(isDirect ? "a parameter" : "a value"), \
                        \(isShared ? "used elsewhere too" : "used once"): \(found), by differences \(expected)
                        """)
                }
            }
        }
    }

    private func evaluate() throws -> [Float] {
        let tape = Tape(device: device, images: values[0].shape[0])
        return try example.function(tape, values.map(tape.constant)).value.array
    }

    /// The gradients by the tape, with inputs that are parameters, or else copies of some.
    /// - Parameter isShared: each input also meets `sharedWeights` in a later operation; the part of the gradient
    ///   that comes from there is taken off again.
    private func backward(_ weights: [Float], isDirect: Bool, isShared: Bool) throws -> [[Float]] {
        let gradients = values.map { device.tensor($0.shape, filledWith: .nan) }  // what was there before doesn't count
        let tape = Tape(device: device, images: values[0].shape[0])
        let inputs = zip(values, gradients).map { value, gradient in
            let parameter = tape.parameter(value, gradient: gradient)
            return isDirect ? parameter : tape.copied(parameter)
        }
        let sharedWeights = values.map { normals($0.count, 2000) }
        let output = try example.function(tape, inputs)
        let shared = isShared ? zip(inputs, sharedWeights).map { (variable: $0, weights: $1) } : []
        try tape.backward(from: tape.projection([(output, weights)] + shared))
        return zip(gradients, sharedWeights).map { gradient, weights in
            isShared ? zip(gradient.array, weights).map { $0 - $1 } : gradient.array
        }
    }

    private func differences(in input: Tensor, zeros: [Bool], _ weights: [Float]) throws -> [Double] {
        try (0..<input.count).map { i in
            let center = input.base[i]
            defer { input.base[i] = center }
            let projections = try [-2, -1, 1, 2].map { (steps: Float) in
                input.base[i] = center + steps * Self.step
                let output = try evaluate()
                #expect(
                    output.map { $0 == 0 } == zeros, "\(example.name): a kink is too near, choose another point")
                return project(output, weights)
            }
            return (8 * (projections[2] - projections[1]) - (projections[3] - projections[0])) / Double(12 * Self.step)
        }
    }
}
