import Autodiff
import Collectives
import Objectives
import Tensors
import Testing

@testable import Training

/// Lines about collapse, from terms as methods return them.
@Suite struct CollapseWatchTests {
    private let device: Device

    init() throws { device = try Device() }

    /// Terms of a loss that tells nothing at 6, and of codes that are healthy at 0.1.
    private func terms(loss: Float, deviation: Float) -> LossTerms {
        let tape = Tape(device: device, ranks: SingleRank(), shares: Shares(counts: [1], rank: 0))
        func scalar(_ value: Float) -> Variable { tape.constant(device.tensor([1], [value])) }
        return LossTerms([
            Term("contrast", 2, scalar(loss), ceiling: 3),
            Term("code_deviation", 0, scalar(deviation), isMain: false, healthy: 0.1),
        ])
    }

    @Test func collapsedCodesGiveOneLineUntilTheyRecover() {
        var watch = CollapseWatch()
        var found: [Int] = []
        for (step, deviation) in [0.1, 0.009, 0.001, 0.03, 0.009, 0.08, 0.002].enumerated() {
            let lines = watch.lines(step: step + 1, epoch: 0, terms(loss: 1, deviation: Float(deviation)))
            for line in lines {
                #expect(line.contains("step \(step + 1): codes have collapsed"))
                #expect(line.contains("less than a tenth of 0.1,"))
                found.append(step)
            }
        }
        #expect(found == [1, 6])
    }

    @Test func aLossThatStaysUninformedIsSaidAfterTheEpoch() {
        var watch = CollapseWatch()
        var found: [Int] = []
        // Epochs of three steps: uninformed, informed in one step, uninformed again.
        for (step, loss) in ([3, 2.99, 3.01, 3, 2.5, 3, 3, 3, 3, 3] as [Float]).enumerated() {
            for line in watch.lines(step: step + 1, epoch: step / 3, terms(loss: loss, deviation: 0.1)) {
                #expect(line.contains("epoch \(step / 3 - 1): the loss stayed at 6,"))
                found.append(step)
            }
        }
        #expect(found == [3, 9])
    }

    @Test func lossesWithoutAnUninformedValueGiveNoLine() {
        let tape = Tape(device: device, ranks: SingleRank(), shares: Shares(counts: [1], rank: 0))
        let terms = LossTerms([Term("a", 1, tape.constant(device.tensor([1], [0])))])
        #expect(terms.uninformedLoss == nil && terms.codeDeviation == nil)
        var watch = CollapseWatch()
        for epoch in 0..<3 { #expect(watch.lines(step: epoch, epoch: epoch, terms).isEmpty) }
    }
}
