import Autodiff
import Collectives
import Foundation
import Objectives
import Tensors
import Testing

/// Losses of several views at codes for which their values are known: the ones that a broken mask, a missing gather or
/// a collapsed network would show.
@Suite struct ViewLossTests {
    private let device: Device

    init() throws { device = try Device() }

    private func tape(_ images: Int) -> Tape {
        Tape(device: device, ranks: SingleRank(), shares: Shares(counts: [images], rank: 0))
    }

    private func rows(_ tape: Tape, _ count: Int, _ width: Int, _ element: (_ row: Int, _ column: Int) -> Float)
        -> Variable
    {
        tape.constant(
            device.tensor([count, width], (0..<count * width).map { element($0 / width, $0 % width) }))
    }

    private func value(_ loss: Variable) -> Double { Double(loss.value.base[0]) }

    /// ln(2N - 1), for SimCLR's batches.
    @Test func equalCodesGiveTheLogarithmOfTheirNumber() throws {
        for (images, expected) in [(64, 4.8442), (128, 5.5413), (256, 6.2364), (512, 6.9305)] {
            let tape = tape(images)
            let z = rows(tape, images, 2) { _, c in c == 0 ? 1 : 0 }
            #expect(abs(value(try tape.ntXent(z, z, temperature: 0.5)) - expected) < 1e-4)
            let means = try tape.contrastWithMeans(large: [z, z], small: [z], temperature: 0.5)
            #expect(abs(value(means) - log(Double(images))) < 1e-4)
        }
        for (queue, expected) in [(4096, 8.3180), (32768, 10.3972), (65536, 11.0904)] {
            let tape = tape(3)
            let z = rows(tape, 3, 2) { _, c in c == 0 ? 1 : 0 }
            let keys = rows(tape, queue, 2) { _, c in c == 0 ? 1 : 0 }
            let loss = try tape.queueContrast(z, keys: z.value, queue: keys.value, temperature: 0.1)
            #expect(abs(value(loss) - expected) < 1e-4)
        }
    }

    /// ln(1 + (2N - 2)·e^(-1/τ)).
    @Test func orthogonalImagesGiveTheirFloor() throws {
        for (images, temperature, expected) in [(512, 0.5, 4.937), (256, 0.2, 1.490), (256, 0.1, 0.0229)] {
            let tape = tape(images)
            let z = rows(tape, images, images) { r, c in r == c ? 1 : 0 }
            #expect(abs(value(try tape.ntXent(z, z, temperature: temperature)) - expected) < 1e-3)
        }
    }

    @Test func twinsAreComparedByTheirCorrelation() throws {
        let (images, width) = (2048, 8)
        let tape = tape(images)
        // Columns of ±1 with correlation 0: bit c of the row's index.
        let independent = rows(tape, images, width) { r, c in r >> c & 1 == 0 ? 1 : -1 }
        #expect(abs(value(try tape.barlowTwins(independent, independent, redundancyWeight: 0.0051))) < 1e-4)
        // Var/(var + 1e-5) on the diagonal, for columns of a small deviation.
        let small = rows(tape, images, width) { r, c in r >> c & 1 == 0 ? 0.01 : -0.01 }
        let ratio = 1e-4 / (1e-4 + 1e-5)
        let ofSmall = value(try tape.barlowTwins(small, small, redundancyWeight: 0.0051))
        #expect(abs(ofSmall - Double(width) * (1 - ratio) * (1 - ratio)) < 1e-4)
        let constant = rows(tape, images, width) { _, _ in 0.3 }
        #expect(abs(value(try tape.barlowTwins(constant, constant, redundancyWeight: 0.0051)) - Double(width)) < 1e-4)
        // All dimensions equal: λ·D·(D - 1).
        let equal = rows(tape, images, width) { r, _ in r & 1 == 0 ? 1 : -1 }
        let expected = 0.0051 * Double(width * (width - 1))
        #expect(abs(value(try tape.barlowTwins(equal, equal, redundancyWeight: 0.0051)) - expected) < 1e-3)
    }

    /// 25·(1 - sqrt(1e-4)) = 24.75 with the published weights.
    @Test func collapsedCodesHaveNoVariance() throws {
        let tape = tape(32)
        let z = rows(tape, 32, 6) { _, c in Float(c) }
        let terms = try tape.varianceAndCovariance([z, z])
        #expect(abs(25 * value(terms.variance) - 24.75) < 1e-4)
        #expect(value(terms.covariance) == 0)
        #expect(value(tape.meanSquaredDifference(z, z)) == 0)
        // Spread codes of deviation 1 and no correlation: nothing to pay, up to N/(N - 1).
        let spread = rows(tape, 32, 5) { r, c in r >> c & 1 == 0 ? 1 : -1 }
        let good = try tape.varianceAndCovariance([spread, spread])
        #expect(value(good.variance) == 0)
        #expect(value(good.covariance) < 1e-10)
    }

    @Test func codingRatesAreThoseOfSpreadAndEqualCodes() throws {
        for (width, images, spread, collapsed) in [(128, 256, -114.67, -3.232), (1024, 100, -197.75, -4.271)] {
            let tape = tape(images)
            let orthogonal = rows(tape, images, width) { r, c in r % width == c ? 1 : 0 }
            #expect(abs(value(try tape.negativeCodingRate([orthogonal], distortion: 0.2)) - spread) < 0.01)
            let equal = rows(tape, images, width) { _, c in c == 0 ? 1 : 0 }
            #expect(abs(value(try tape.negativeCodingRate([equal, equal], distortion: 0.2)) - collapsed) < 0.001)
        }
    }

    @Test func oneImageHasNoNegative() throws {
        let tape = tape(1)
        let z = rows(tape, 1, 2) { _, _ in 1 }
        #expect(throws: InputError.self) { try tape.ntXent(z, z, temperature: 0.5) }
        #expect(throws: InputError.self) { try tape.contrastWithMeans(large: [z, z], small: [], temperature: 0.5) }
    }

    @Test func codesThatArentNumbersAreNotHidden() throws {
        let tape = tape(4)
        let z = rows(tape, 4, 3) { r, _ in r == 2 ? .nan : 1 }
        let unit = tape.unitRows(z)
        #expect(try value(tape.ntXent(unit, unit, temperature: 0.5)).isNaN)
        #expect(try value(tape.contrastWithMeans(large: [unit, unit], small: [], temperature: 0.5)).isNaN)
        #expect(try value(tape.barlowTwins(z, z, redundancyWeight: 0.1)).isNaN)
        #expect(value(tape.negativeCosine(z, z)).isNaN)
        #expect(value(tape.meanSquaredDifference(z, z)).isNaN)
        #expect(try value(tape.varianceAndCovariance([z, z]).covariance).isNaN)
        #expect(try value(tape.negativeCodingRate([unit], distortion: 0.2)).isNaN)
    }
}
