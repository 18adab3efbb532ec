import Autodiff
import Collectives
import Foundation
import Layers
import Objectives
import Tensors
import Testing

@Suite struct TotalCorrelationTests {
    private let device: Device

    init() throws { device = try Device() }

    private func tape(_ images: Int) -> Tape {
        Tape(device: device, ranks: SingleRank(), shares: Shares(counts: [images], rank: 0))
    }

    private func permuted(_ z: Tensor, step: Int = 0) throws -> Tensor {
        try permutedColumns(z, shares: Shares(counts: [z.shape[0]], rank: 0), device: device, ranks: SingleRank()) {
            RandomStream(seed: 3, purpose: .shuffle, step: step, sample: $0)
        }
    }

    @Test func columnsArePermutedEachByItself() throws {
        let rows = 50
        let z = device.tensor([rows, 3], (0..<3 * rows).map { Float($0 / 3) })  // a row's elements are equal
        let result = try permuted(z)
        for column in 0..<3 { #expect(result.matrix.column(column).sorted() == (0..<rows).map(Float.init)) }
        let kept = (0..<rows).count { result.base[3 * $0] == result.base[3 * $0 + 1] }
        #expect(kept < 10)  // 1 is expected
        #expect(try permuted(z, step: 1).array != result.array)
    }

    @Test func guessesCostTheLogarithmOfTwo() {
        let tape = tape(4)
        let logits = tape.constant(device.tensor([4, 2], filledWith: 0))
        #expect(abs(Double(tape.discriminatorLoss(joint: logits, permuted: logits).value.base[0]) - log(2)) < 1e-6)
        #expect(tape.totalCorrelation(logits).value.base[0] == 0)
        #expect(tape.discriminatorAccuracy(joint: logits.value, permuted: logits.value) == 0.5)
    }

    @Test func accuracyCountsBothKinds() {
        let tape = tape(2)
        let joint = device.tensor([2, 2], [1, 0, 0, 1])  // right, wrong
        let other = device.tensor([2, 2], [0, 1, 2, 2])  // right, undecided
        #expect(tape.discriminatorAccuracy(joint: joint, permuted: other) == 2.5 / 4)
    }

    /// Two dimensions of a normal distribution with correlation ρ: the total correlation is -½ ln(1 - ρ²).
    @Test func aDiscriminatorFindsTheTotalCorrelation() throws {
        let (rows, correlation) = (1000, 0.9)
        let declarations = Declarations()
        let network = MLP(
            declarations, "discriminator", inputs: 2, widths: [64, 64, 2], hidden: .leaky(slope: 0.2))
        let parameters = ParameterSet(declarations, device: device, seed: 1)
        let adam = Adam(OptimiserSettings(), parameters: parameters, device: device)
        func codes(_ step: Int) -> Tensor {
            var stream = RandomStream(seed: 9, purpose: .synthetic, step: step)
            return device.tensor(
                [rows, 2],
                (0..<rows).flatMap { _ in
                    let (a, b) = (stream.normal(), stream.normal())
                    return [a, Float(correlation) * a + Float((1 - correlation * correlation).squareRoot()) * b]
                })
        }
        for step in 0..<300 {
            let tape = tape(rows)
            let z = codes(step)
            let loss = tape.discriminatorLoss(
                joint: try network(tape, tape.constant(z)),
                permuted: try network(tape, tape.constant(permuted(z, step: step))))
            try tape.backward(from: loss)
            adam.update(parameters, rate: 3e-3)
        }
        var sum = 0.0
        for step in 1000..<1010 {
            let tape = tape(rows)
            sum += Double(tape.totalCorrelation(try network(tape, tape.constant(codes(step)))).value.base[0])
        }
        let expected = -0.5 * log(1 - correlation * correlation)  // 0.83
        #expect(abs(sum / 10 - expected) < 0.15, "\(sum / 10), expected \(expected)")
    }
}
