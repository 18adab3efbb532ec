import Collectives
import Tensors

/// Parameters in one flat array, and their gradients in another, in order of declaration.
///
/// They are flat, so that summing gradients over ranks and updates are simple passes over memory.
package final class ParameterSet {
    package let parameters: [Parameter]
    package let states: [StateArray]
    /// All values, [count].
    package private(set) var values: Tensor
    /// All gradients, [count]: this rank's part until summed over ranks. [0] where there are none.
    package private(set) var gradients: Tensor

    package var count: Int { values.count }

    /// Allocates the parameters declared outside groups, and initialises them from random streams keyed by the seed and
    /// each one's index.
    package convenience init(_ declarations: Declarations, device: Device, seed: UInt64) {
        self.init(declarations.contents, device: device, seed: seed, firstIndex: 0, hasGradients: true)
    }

    /// - Parameter firstIndex: index of the first parameter, for a set among others.
    init(
        _ contents: Declarations.Contents, device: Device, seed: UInt64, firstIndex: Int, hasGradients: Bool
    ) {
        parameters = contents.parameters
        states = contents.states
        // Each starts on a cache line; the gaps stay 0.
        let count = Self.sizes(parameters).reduce(0, +)
        values = device.tensor([count], filledWith: 0)
        gradients = device.tensor([hasGradients ? count : 0], filledWith: 0)
        setViews()
        for (index, parameter) in parameters.enumerated() {
            let stream = RandomStream(seed: seed, purpose: .initialisation, sample: firstIndex + index)
            parameter.initialisation.set(parameter.value, stream)
        }
    }

    private static func sizes(_ parameters: [Parameter]) -> [Int] {
        parameters.map { ($0.shape.reduce(1, *) + 15) / 16 * 16 }
    }

    /// The parts of some ranges of elements that belong to one parameter each, with its index, in whole vectors of 16.
    func parts(of ranges: [Range<Int>]) -> [(elements: Range<Int>, index: Int)] {
        var result: [(Range<Int>, Int)] = []
        var start = 0
        for (index, size) in Self.sizes(parameters).enumerated() {
            for range in ranges where range.overlaps(start..<start + size) {
                result.append((range.clamped(to: start..<start + size), index))
            }
            start += size
        }
        return result
    }

    /// Makes each parameter a view of the flat arrays.
    private func setViews() {
        var start = 0
        for (parameter, size) in zip(parameters, Self.sizes(parameters)) {
            parameter.value = values.view(from: start, shape: parameter.shape)
            parameter.gradient = gradients.count > 0 ? gradients.view(from: start, shape: parameter.shape) : nil
            start += size
        }
    }

    /// Goes on in other arrays, [count] each. The caller has copied the values there.
    func move(values: Tensor, gradients: Tensor?) {
        self.values = values
        if let gradients { self.gradients = gradients }
        setViews()
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

extension Initialisation {
    /// Sets a parameter to its start.
    fileprivate func set(_ value: Tensor, _ stream: RandomStream) {
        var stream = stream
        func setUniform(fanIn: Int) {
            let bound = 1 / Float(fanIn).squareRoot()
            for i in 0..<value.count { value.base[i] = (2 * stream.uniform() - 1) * bound }
        }
        switch self {
        case .constant(let number): value.fill(number)
        case .uniform(let fanIn): setUniform(fanIn: fanIn)
        case .normal(let deviation):
            for i in 0..<value.count { value.base[i] = deviation * stream.normal() }
        case .identityFilters(let fanIn):
            setUniform(fanIn: fanIn)
            let taps = value.shape[2] * value.shape[3]
            let filter = value.shape[1] * taps
            for i in 0..<min(value.shape[0], value.shape[1]) {
                (value.base + i * filter).update(repeating: 0, count: filter)
                value.base[i * filter + i * taps + taps / 2] = 1
            }
        }
    }
}
