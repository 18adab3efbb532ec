import Autodiff
import Collectives
import Foundation
import Objectives
import Tensors
import Testing

@Suite struct VariationalLossesTests {
    private let device: Device

    init() throws { device = try Device() }

    private func tape(_ images: Int, of total: Int? = nil) -> Tape {
        Tape(
            device: device, ranks: SingleRank(),
            shares: Shares(counts: [images] + (total.map { [$0 - images] } ?? []), rank: 0))
    }

    private func divergence(mean: [Float], logVariance: [Float], width: Int) -> Float {
        let rows = mean.count / width
        let tape = tape(rows)
        return tape.gaussianDivergence(
            mean: tape.constant(device.tensor([rows, width], mean)),
            logVariance: tape.constant(device.tensor([rows, width], logVariance))
        ).value.base[0]
    }

    @Test func divergenceOfNormalDistributions() {
        let width = 7
        let zeros = [Float](repeating: 0, count: 3 * width)
        #expect(divergence(mean: zeros, logVariance: zeros, width: width) == 0)
        // KL(N(1, I) || N(0, I)) is half the number of dimensions.
        #expect(abs(divergence(mean: zeros.map { _ in 1 }, logVariance: zeros, width: width) - 3.5) < 1e-6)
        // KL(N(0, 4) || N(0, 1)) = ½(4 - 1 - ln 4)
        let broad = divergence(mean: [0], logVariance: [Float(log(4.0))], width: 1)
        #expect(abs(Double(broad) - 0.5 * (3 - log(4))) < 1e-6)
    }

    @Test func samplesHaveTheMeanAndTheVariance() {
        let rows = 20_000
        let tape = tape(rows)
        func equalRows(_ first: Float, _ second: Float) -> Variable {
            tape.constant(device.tensor([rows, 2], (0..<2 * rows).map { $0 % 2 == 0 ? first : second }))
        }
        let z = tape.gaussianSample(mean: equalRows(3, -1), logVariance: equalRows(0, Float(log(4.0)))) {
            RandomStream(seed: 5, purpose: .synthetic, step: 2, sample: $0)
        }
        for (column, mean, variance) in [(0, 3.0, 1.0), (1, -1.0, 4.0)] {
            let values = z.value.matrix.column(column).map(Double.init)
            let found = values.reduce(0, +) / Double(rows)
            let spread = values.reduce(0) { $0 + ($1 - found) * ($1 - found) } / Double(rows)
            #expect(abs(found - mean) < 5 * (variance / Double(rows)).squareRoot())
            #expect(abs(spread / variance - 1) < 0.05)  // five deviations: 5·sqrt(2/20000)
        }
    }

    @Test func certainCodesAreTheirMeans() {
        let tape = tape(1)
        let mean = tape.constant(device.tensor([1, 3], [1, -2, 0.5]))
        let z = tape.gaussianSample(mean: mean, logVariance: tape.constant(device.tensor([1, 3], filledWith: -200))) {
            RandomStream(seed: 1, purpose: .synthetic, sample: $0)
        }
        #expect(z.value.array == [1, -2, 0.5])
    }

    @Test func evenOddsCostTheLogarithmOfTwoAPixel() {
        let shape = [2, 4, 3, 1]
        let tape = tape(2, of: 8)  // a quarter of the batch
        let target = device.tensor(shape, (0..<24).map { Float($0) / 23 })
        let loss = tape.bernoulliLoss(tape.constant(device.tensor(shape, filledWith: 0)), target: target)
        #expect(abs(Double(loss.value.base[0]) - 12 * log(2) / 4) < 1e-6)
    }

    @Test func bernoulliLossIsSmallestAtTheTarget() throws {
        let target: [Float] = [0.1, 0.5, 0.9, 0.3]
        let logits = target.map { Float(log(Double($0) / (1 - Double($0)))) }
        let tape = tape(1)
        let gradient = device.tensor([1, 2, 2, 1])
        let loss = tape.bernoulliLoss(
            tape.parameter(device.tensor([1, 2, 2, 1], logits), gradient: gradient),
            target: device.tensor([1, 2, 2, 1], target))
        func entropy(_ p: Double) -> Double { -p * log(p) - (1 - p) * log(1 - p) }
        let expected = target.reduce(0) { $0 + entropy(Double($1)) }
        #expect(abs(Double(loss.value.base[0]) - expected) < 1e-6)
        try tape.backward(from: loss)
        #expect(gradient.array.allSatisfy { abs($0) < 1e-6 })
    }
}
