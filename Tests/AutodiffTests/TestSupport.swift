import Autodiff
import Collectives
import Foundation
import Tensors
import Testing

/// Standard normal numbers (Box and Muller), the same for the same `index`.
func normals(_ count: Int, _ index: Int) -> [Float] {
    var stream = RandomStream(seed: 23, purpose: .synthetic, sample: index)
    return (0..<count).map { _ in
        let radius = (-2 * log(1 - Double(stream.uniform()))).squareRoot()
        return Float(radius * cos(2 * Double.pi * Double(stream.uniform())))
    }
}

/// The results of each rank's body, in rank order.
func onRanks<Result: Sendable>(
    _ worldSize: Int, _ body: @escaping @Sendable (any Ranks, Device) throws -> Result
) throws -> [Result] {
    try ThreadRank.run(worldSize) { try body($0, Device(threads: 1)) }
}

/// The largest difference, as a part of the largest expected magnitude; infinite when one isn't finite.
func relativeDifference(_ found: [Float], _ expected: [Double]) -> Double {
    let largest = expected.map(abs).max() ?? 0
    let difference = zip(found, expected).map { abs(Double($0) - $1) }.max() ?? 0
    let isFinite = found.allSatisfy(\.isFinite) && found.count == expected.count
    return !isFinite ? .infinity : difference == 0 ? 0 : difference / largest
}

func relativeDifference(_ found: [Float], _ expected: [Float]) -> Double {
    relativeDifference(found, expected.map(Double.init))
}

/// Expects every element to be within `tolerance` times the largest expected magnitude.
func expectClose(
    _ found: [Float], _ expected: [Double], within tolerance: Double, _ what: String = "",
    sourceLocation: SourceLocation = #_sourceLocation
) {
    #expect(
        relativeDifference(found, expected) <= tolerance, "\(what): \(found), expected \(expected)",
        sourceLocation: sourceLocation)
}

extension Tape {
    /// A tape of one rank that has the whole batch.
    convenience init(device: Device, images: Int = 1, mode: Mode = .training) {
        self.init(device: device, ranks: SingleRank(), shares: Shares(counts: [images], rank: 0), mode: mode)
    }

    /// A scalar whose gradient by each of these variables is known: the sum of all elements times their weights.
    func projection(_ terms: [(variable: Variable, weights: [Float])]) -> Variable {
        let sum = terms.reduce(0.0) { $0 + project($1.variable.value.array, $1.weights) }
        return record(device.tensor([1], [Float(sum)]), from: terms.map(\.variable)) { [unowned self] upstream in
            for (variable, weights) in terms {
                pass(device.tensor(variable.shape, weights.map { $0 * upstream.base[0] }), to: variable)
            }
        }
    }

    /// The same elements in other memory.
    func copied(_ x: Variable) -> Variable {
        record(device.tensor(x.shape, x.value.array), from: [x]) { [unowned self] in pass($0, to: x) }
    }
}

func project(_ values: [Float], _ weights: [Float]) -> Double {
    zip(values, weights).reduce(0) { $0 + Double($1.0) * Double($1.1) }
}
