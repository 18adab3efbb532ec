import Autodiff
import Collectives
import Objectives
import Tensors
import Testing

@Suite struct CosineDistanceTests {
    /// The loss, and the gradients by both.
    private func evaluate(_ p: [Float], _ t: [Float], width: Int) throws -> (loss: Float, gradients: [[Float]]) {
        let device = try Device()
        let rows = p.count / width
        let tape = Tape(device: device, ranks: SingleRank(), shares: Shares(counts: [rows], rank: 0))
        let values = [p, t].map { device.tensor([rows, width], $0) }
        let gradients = values.map { device.tensor($0.shape) }
        let variables = zip(values, gradients).map { tape.parameter($0, gradient: $1) }
        let loss = tape.cosineDistance(variables[0], variables[1])
        try tape.backward(from: loss)
        return (loss.value.base[0], gradients.map(\.array))
    }

    @Test func sameDirectionsCountNothingAndOppositeOnesFour() throws {
        let p: [Float] = [3, 4, 0.5]
        for (t, expected) in [(p.map { 7 * $0 }, 0), ([4, -3, 0], 2), (p.map { -0.1 * $0 }, 4)] as [([Float], Float)] {
            let result = try evaluate(p, t, width: 3)
            #expect(abs(result.loss - expected) < 1e-6, "\(t)")
            // Along the row itself nothing changes.
            let along = zip(p, result.gradients[0]).reduce(0) { $0 + $1.0 * $1.1 }
            #expect(abs(along) < 1e-6, "\(t)")
        }
        #expect(try abs(evaluate([1, 0, 0, 1], [2, 0, 0, -3], width: 2).loss - 2) < 1e-6)  // the mean of 0 and 4
    }

    @Test func rowsWithoutADirectionCountTwo() throws {
        for (p, t) in [([0, 0], [1, 2]), ([1, 2], [0, 0]), ([0, 0], [0, 0])] as [([Float], [Float])] {
            let result = try evaluate(p, t, width: 2)
            #expect(result.loss == 2)
            #expect(result.gradients == [[0, 0], [0, 0]])
        }
        let tiny = try evaluate([1e-30, 0], [1, 1], width: 2)
        #expect(tiny.loss == 2 && tiny.gradients == [[0, 0], [0, 0]])
    }

    @Test func sizesOfRowsDontCount() throws {
        let whole = try evaluate([1, 2], [2, 0.5], width: 2)
        let scaled = try evaluate([1e-8, 2e-8], [2e15, 0.5e15], width: 2)
        #expect(abs(whole.loss - scaled.loss) < 1e-6)
        for (a, b) in zip(whole.gradients[0], scaled.gradients[0]) { #expect(abs(a - b * 1e-8) < 1e-5 * abs(a)) }
    }

    @Test func notANumberIsNotHidden() throws {
        for (p, t) in [([.nan, 0], [1, 2]), ([0, 0], [.nan, 1])] as [([Float], [Float])] {
            #expect(try evaluate(p, t, width: 2).loss.isNaN)
        }
    }
}
