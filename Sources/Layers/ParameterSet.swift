import Autodiff
import Collectives
import Tensors

/// How a parameter starts.
package enum Initialisation {
    /// Uniform in ±1/sqrt(fanIn), the default of PyTorch's linear and convolution layers.
    case uniform(fanIn: Int)
    case constant(Float)
}

/// A named array that training changes. Its value and gradient are views of the set's flat memory.
package final class Parameter {
    /// Module path, as in checkpoints: `encoder.conv1.weight`.
    package let name: String
    package let shape: [Int]
    /// Path of the layer that it belongs to: `encoder.conv1`.
    package var layer: String { name.split(separator: ".").dropLast().joined(separator: ".") }
    package fileprivate(set) var value: Tensor!
    package fileprivate(set) var gradient: Tensor!
    fileprivate let initialisation: Initialisation

    fileprivate init(_ name: String, _ shape: [Int], _ initialisation: Initialisation) {
        self.name = name
        self.shape = shape
        self.initialisation = initialisation
    }
}

/// A named array that isn't trained but belongs in the checkpoint, such as a running mean.
package final class StateArray {
    package let name: String
    package var values: [Float]

    init(_ name: String, _ values: [Float]) {
        self.name = name
        self.values = values
    }
}

/// Where layers declare their parameters and states, under a path of names.
package final class Declarations {
    fileprivate var parameters: [Parameter] = []
    fileprivate var states: [StateArray] = []
    private var path: [String] = []

    package init() {}

    /// Trained numbers declared so far.
    package var parameterCount: Int { parameters.reduce(0) { $0 + $1.shape.reduce(1, *) } }

    /// Declares what `body` declares under `name`.
    package func scope<Result>(_ name: String, _ body: (Declarations) throws -> Result) rethrows -> Result {
        path.append(name)
        defer { path.removeLast() }
        return try body(self)
    }

    package func parameter(_ name: String, _ shape: [Int], _ initialisation: Initialisation) -> Parameter {
        let parameter = Parameter((path + [name]).joined(separator: "."), shape, initialisation)
        parameters.append(parameter)
        return parameter
    }

    package func state(_ name: String, _ values: [Float]) -> StateArray {
        let state = StateArray((path + [name]).joined(separator: "."), values)
        states.append(state)
        return state
    }
}

/// All parameters of a model in one flat array, and all gradients in another, in order of declaration.
///
/// Flat, so that summing gradients over ranks and the optimiser are passes over memory, not over names.
package final class ParameterSet {
    package let parameters: [Parameter]
    package let states: [StateArray]
    /// All values, [count].
    package private(set) var values: Tensor
    /// All gradients, [count]: this rank's part until summed over ranks.
    package private(set) var gradients: Tensor

    package var count: Int { values.count }

    /// Allocates what was declared and starts it from random streams keyed by the seed and each one's place.
    /// - Parameter firstPlace: of the first one, for a set beside others.
    package init(_ declarations: Declarations, device: Device, seed: UInt64, firstPlace: Int = 0) {
        parameters = declarations.parameters
        states = declarations.states
        // Each starts on a cache line; the gaps stay 0.
        let count = Self.sizes(parameters).reduce(0, +)
        values = device.tensor([count], filledWith: 0)
        gradients = device.tensor([count], filledWith: 0)
        placeParameters()
        for (place, parameter) in parameters.enumerated() {
            switch parameter.initialisation {
            case .constant(let value): parameter.value.fill(value)
            case .uniform(let fanIn):
                let bound = 1 / Float(fanIn).squareRoot()
                var stream = RandomStream(seed: seed, purpose: .initialisation, sample: firstPlace + place)
                for i in 0..<parameter.value.count { parameter.value.base[i] = (2 * stream.uniform() - 1) * bound }
            }
        }
    }

    private static func sizes(_ parameters: [Parameter]) -> [Int] {
        parameters.map { ($0.shape.reduce(1, *) + 15) / 16 * 16 }
    }

    /// Makes each parameter a view of the flat arrays.
    private func placeParameters() {
        var start = 0
        for (parameter, size) in zip(parameters, Self.sizes(parameters)) {
            parameter.value = values.view(from: start, shape: parameter.shape)
            parameter.gradient = gradients.view(from: start, shape: parameter.shape)
            start += size
        }
    }

    /// Goes on in other arrays, [count] each. The caller has copied the values there.
    package func move(values: Tensor, gradients: Tensor) {
        self.values = values
        self.gradients = gradients
        placeParameters()
    }

    /// Replaces this rank's gradients by their sums over ranks, last declared first, `bucket` elements at a time.
    package func sumGradients(over ranks: any Ranks, bucket: Int = 1 << 20) throws {
        guard ranks.worldSize > 1 else { return }
        var end = count
        while end > 0 {
            let start = max(0, end - bucket)
            try ranks.sum(UnsafeMutableBufferPointer(rebasing: gradients.elements[start..<end]))
            end = start
        }
    }
}

extension Tape {
    /// A parameter on this tape.
    package func use(_ parameter: Parameter) -> Variable {
        self.parameter(parameter.value, gradient: parameter.gradient)
    }
}
