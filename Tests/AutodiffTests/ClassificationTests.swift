import Autodiff
import Collectives
import Foundation
import Tensors
import Testing

@Suite struct CrossEntropyTests {
    private let device: Device

    init() throws { device = try Device() }

    @Test func equalLogitsGiveTheLogarithmOfTheClasses() {
        for classes in [2, 5, 10] {
            let tape = Tape(device: device, images: 3)
            let logits = tape.constant(device.tensor([3, classes], filledWith: 4))
            expectClose(tape.crossEntropy(logits, labels: [0, 1, 1]).value.array, [log(Double(classes))], within: 1e-6)
        }
    }

    @Test func agreesWithTheDefinition() throws {
        let (rows, classes) = (7, 5)
        let logits = normals(rows * classes, 1).map { 3 * $0 }
        let labels = [4, 0, 0, 2, 3, 1, 4]
        // This rank has 7 images of 10.
        let tape = Tape(device: device, ranks: SingleRank(), shares: Shares(counts: [7, 3], rank: 0))
        let gradient = device.tensor([rows, classes])
        let value = device.tensor([rows, classes], logits)
        let loss = tape.crossEntropy(tape.parameter(value, gradient: gradient), labels: labels)
        try tape.backward(from: loss)
        var expected = 0.0
        var expectedGradient: [Double] = []
        for (r, label) in labels.enumerated() {
            let row = logits[r * classes..<(r + 1) * classes].map { exp(Double($0)) }
            expected -= log(row[label] / row.reduce(0, +)) / 10
            expectedGradient += row.indices.map { (row[$0] / row.reduce(0, +) - ($0 == label ? 1 : 0)) / 10 }
        }
        expectClose(loss.value.array, [expected], within: 1e-6)
        expectClose(gradient.array, expectedGradient, within: 1e-6)
        #expect(value.array == logits)
    }

    @Test func largeLogitsStayFinite() {
        let tape = Tape(device: device, images: 2)
        let logits = tape.constant(device.tensor([2, 2], [1000, -1000, 1000, -1000]))
        expectClose(tape.crossEntropy(logits, labels: [0, 1]).value.array, [1000], within: 1e-6)
    }
}

@Suite struct DropoutTests {
    private let columns = 500
    private let device: Device

    init() throws { device = try Device() }

    private func drop(
        samples: [Int], rate: Float = 0.25, seed: UInt64 = 1, step: Int = 1, mode: Tape.Mode = .training
    ) -> [[Float]] {
        let tape = Tape(device: device, mode: mode)
        let x = tape.constant(device.tensor([samples.count, columns], filledWith: 3))
        let y = tape.dropout(x, rate: rate, seed: seed, step: step, samples: samples).value.array
        return samples.indices.map { Array(y[$0 * columns..<($0 + 1) * columns]) }
    }

    @Test func keptElementsAreScaled() {
        let rows = drop(samples: Array(0..<20))
        let elements = rows.joined()
        #expect(elements.allSatisfy { $0 == 0 || $0 == 4 })
        let dropped = Double(elements.count { $0 == 0 }) / 10_000
        #expect(abs(dropped - 0.25) < 0.022)  // five deviations: 5·sqrt(0.25·0.75/10000)
    }

    @Test func theMaskBelongsToTheSample() {
        let rows = drop(samples: [8, 3, 5])
        #expect(drop(samples: [3]) == [rows[1]])
        #expect(drop(samples: [5, 8]) == [rows[2], rows[0]])
        #expect(Set(rows).count == 3)
        #expect(drop(samples: [3], step: 2) != [rows[1]])
        #expect(drop(samples: [3], seed: 2) != [rows[1]])
    }

    @Test func isOffInEvaluationAndAtRateZero() {
        let all = Array(repeating: Float(3), count: columns)
        #expect(drop(samples: [1], mode: .evaluation) == [all])
        #expect(drop(samples: [1], rate: 0) == [all])
    }
}
