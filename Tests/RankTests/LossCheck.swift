import Autodiff
import Collectives
import Layers
import Tensors
import XCTest

/// Holds a loss over rows of the global batch, and its gradients by them, on these ranks against its definition in
/// Double over the whole batch; slopes of that are taken by central differences.
struct LossCheck {
    static let images = 7

    /// Elements of a row of each input.
    let widths: [Int]
    /// The inputs' elements, normal numbers.
    private let inputs: [[Float]]

    init(widths: [Int]) {
        self.widths = widths
        inputs = widths.enumerated().map { index, width in
            var stream = RandomStream(seed: 6, purpose: .synthetic, sample: index)
            return (0..<Self.images * width).map { _ in stream.normal() }
        }
    }

    /// - Parameters:
    ///   - loss: this rank's part, of variables [n, width].
    ///   - reference: of rows of the inputs.
    func callAsFunction(
        _ name: String, loss: (Tape, [Variable]) throws -> Variable, reference: (_ inputs: [[[Double]]]) -> Double
    ) throws {
        let ranks = World.ranks
        let device = try Device()
        let shares = Shares(counts: World.shares(of: Self.images), rank: ranks.rank)
        let tape = Tape(device: device, ranks: ranks, shares: shares)
        let values = zip(inputs, widths).map { elements, width in
            let own = shares.first * width..<(shares.first + shares.own) * width
            return device.tensor([shares.own, width], Array(elements[own]))
        }
        let gradients = values.map { device.tensor($0.shape) }
        let part = try loss(tape, zip(values, gradients).map { tape.parameter($0, gradient: $1) })
        // Through a weight, so that the gradient from above counts.
        try tape.backward(from: tape.weightedSum([(part, 3)]))

        var whole = zip(inputs, widths).map { elements, width in
            (0..<Self.images).map { i in elements[i * width..<(i + 1) * width].map(Double.init) }
        }
        let expected = reference(whole)
        let total = try ranks.sum([Double(part.value.base[0])])[0]
        XCTAssertEqual(total, expected, accuracy: 1e-5 * max(abs(expected), 0.1), "\(name), \(World.label)")
        for k in widths.indices {
            let found = try ranks.gather(gradients[k].array, filler: 0)
            let slopes = (0..<inputs[k].count).map { index in
                let (i, c) = (index / widths[k], index % widths[k])
                let value = whole[k][i][c]
                defer { whole[k][i][c] = value }
                let ends = [1e-5, -1e-5].map { step in
                    whole[k][i][c] = value + step
                    return reference(whole)
                }
                return 3 * (ends[0] - ends[1]) / 2e-5
            }
            XCTAssertLessThan(relativeDistance(found, slopes), 1e-4, "\(name), gradient \(k), \(World.label)")
        }
    }
}
