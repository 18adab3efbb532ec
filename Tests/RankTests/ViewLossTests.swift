import Autodiff
import Collectives
import Foundation
import Objectives
import Tensors
import XCTest

/// Losses of several views of an image on these ranks, against their definitions.
final class ViewLossTests: XCTestCase {
    private static let images = LossCheck.images
    private typealias Rows = [[Double]]

    private func product(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }
    private func unit(_ row: [Double]) -> [Double] { row.map { $0 / product(row, row).squareRoot() } }
    private func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }
    private func sum(_ rows: Rows) -> [Double] { rows[0].indices.map { c in rows.reduce(0) { $0 + $1[c] } } }

    func testTwoViewsContrastByTheDefinition() throws {
        let temperature = 0.4
        // A tile of all scores, tiles of some rows, and of one row.
        for tileScores in [1 << 21, 3 * 2 * Self.images, 1] {
            try LossCheck(widths: [9, 9])("NT-Xent") {
                try $0.ntXent(
                    $0.unitRows($1[0]), $0.unitRows($1[1]), temperature: temperature, tileScores: tileScores)
            } reference: { inputs in
                let all = (inputs[0] + inputs[1]).map(unit)
                return mean(
                    all.indices.map { a in
                        let others = all.indices.filter { $0 != a }
                        let scores = others.map { product(all[a], all[$0]) / temperature }
                        return logSumExp(scores)
                            - product(all[a], all[(a + Self.images) % all.count]) / temperature
                    })
            }
        }
    }

    func testViewsContrastWithMeansByTheDefinition() throws {
        let temperature = 0.3
        func reference(large: [Rows], small: [Rows]) -> Double {
            let large = large.map { $0.map(unit) }
            let small = small.map { $0.map(unit) }
            /// The loss of a view against the directions of means of some large views.
            func loss(_ view: Rows, with others: [Rows]) -> Double {
                let means = (0..<Self.images).map { i in unit(sum(others.map { $0[i] })) }
                return mean(
                    (0..<Self.images).map { i in
                        let scores = means.map { product(view[i], $0) / temperature }
                        return logSumExp(scores) - scores[i]
                    })
            }
            let ofLarge = large.indices.map { k in
                loss(large[k], with: large.indices.filter { $0 != k }.map { large[$0] })
            }
            return mean(ofLarge + small.map { loss($0, with: large) })
        }
        for (large, small) in [(2, 0), (2, 3), (3, 2)] {
            let widths = Array(repeating: 6, count: large + small)
            try LossCheck(widths: widths)("\(large) large and \(small) small views") { tape, inputs in
                let views = inputs.map(tape.unitRows)
                return try tape.contrastWithMeans(
                    large: Array(views[..<large]), small: Array(views[large...]), temperature: temperature)
            } reference: {
                reference(large: Array($0[..<large]), small: Array($0[large...]))
            }
        }
    }

    func testBarlowTwinsEqualTheirDefinition() throws {
        func standardised(_ rows: Rows) -> Rows {
            let means = rows[0].indices.map { c in mean(rows.map { $0[c] }) }
            let deviations = rows[0].indices.map { c in
                (mean(rows.map { ($0[c] - means[c]) * ($0[c] - means[c]) }) + 1e-5).squareRoot()
            }
            return rows.map { row in row.indices.map { (row[$0] - means[$0]) / deviations[$0] } }
        }
        try LossCheck(widths: [5, 5])("Barlow Twins") {
            try $0.barlowTwins($1[0], $1[1], redundancyWeight: 0.3)
        } reference: { inputs in
            let (a, b) = (standardised(inputs[0]), standardised(inputs[1]))
            var loss = 0.0
            for i in 0..<5 {
                for j in 0..<5 {
                    let c = mean(zip(a, b).map { $0[i] * $1[j] })
                    loss += i == j ? (1 - c) * (1 - c) : 0.3 * c * c
                }
            }
            return loss
        }
    }

    func testVarianceAndCovarianceEqualTheirDefinitions() throws {
        /// Half of normal numbers, so that some deviations are below 1 and others are not.
        func scaled(_ tape: Tape, _ inputs: [Variable]) throws -> [Variable] {
            let factors: [Float] = [0.4, 0, 0, 0, 0.9, 0, 0, 0, 1.6]
            let weight = tape.constant(tape.device.tensor([3, 3], factors))
            return try inputs.map { try tape.product($0, weight) }
        }
        func terms(_ inputs: [Rows]) -> (variance: Double, covariance: Double) {
            var (variance, covariance) = (0.0, 0.0)
            for rows in inputs.map({ $0.map { [0.4 * $0[0], 0.9 * $0[1], 1.6 * $0[2]] } }) {
                let means = (0..<3).map { c in mean(rows.map { $0[c] }) }
                for i in 0..<3 {
                    for j in 0..<3 {
                        let c =
                            rows.reduce(0) { $0 + ($1[i] - means[i]) * ($1[j] - means[j]) } / Double(rows.count - 1)
                        if i == j {
                            variance += max(0, 1 - (c + 1e-4).squareRoot()) / 6
                        } else {
                            covariance += c * c / 3
                        }
                    }
                }
            }
            return (variance, covariance)
        }
        try LossCheck(widths: [3, 3])("variance") {
            try $0.varianceAndCovariance(scaled($0, $1)).variance
        } reference: {
            terms($0).variance
        }
        try LossCheck(widths: [3, 3])("covariance") {
            try $0.varianceAndCovariance(scaled($0, $1)).covariance
        } reference: {
            terms($0).covariance
        }
        try LossCheck(widths: [4, 4])("invariance") {
            $0.meanSquaredDifference($1[0], $1[1])
        } reference: { inputs in
            mean(zip(inputs[0], inputs[1]).flatMap { zip($0, $1).map { ($0 - $1) * ($0 - $1) } })
        }
    }

    func testCodingRateEqualsItsDefinition() throws {
        // ln det of a 2 x 2 matrix, by hand
        try LossCheck(widths: [2, 2, 2])("coding rate") { tape, inputs in
            try tape.negativeCodingRate(inputs.map(tape.unitRows), distortion: 0.2)
        } reference: { inputs in
            mean(
                inputs.map { rows in
                    let rows = rows.map(unit)
                    let factor = 2 / (Double(rows.count) * 0.2)
                    func entry(_ i: Int, _ j: Int) -> Double {
                        (i == j ? 1 : 0) + factor * rows.reduce(0) { $0 + $1[i] * $1[j] }
                    }
                    return -0.5 * log(entry(0, 0) * entry(1, 1) - entry(0, 1) * entry(1, 0))
                })
        }
    }

    func testQueueContrastsByTheDefinition() throws {
        let (width, negatives) = (5, 9)
        func keys(_ count: Int, _ sample: Int) -> Rows {
            var stream = RandomStream(seed: 4, purpose: .synthetic, sample: sample)
            return (0..<count).map { _ in unit((0..<width).map { _ in Double(stream.normal()) }) }
        }
        let (own, earlier) = (keys(Self.images, 1), keys(negatives, 2))
        for (count, tileScores) in [(negatives, 1 << 21), (negatives, 25), (0, 1 << 21)] {
            let queue = Array(earlier[..<count])
            try LossCheck(widths: [width])("queue of \(count)") { tape, inputs in
                func tensor(_ rows: Rows) -> Tensor {
                    tape.device.tensor([rows.count, width], rows.flatMap { $0.map { Float($0) } })
                }
                let (first, count) = (tape.shares.first, tape.shares.own)
                return try tape.queueContrast(
                    tape.unitRows(inputs[0]), keys: tensor(Array(own[first..<first + count])), queue: tensor(queue),
                    temperature: 0.2, tileScores: tileScores)
            } reference: { inputs in
                mean(
                    inputs[0].enumerated().map { i, row in
                        let scores = ([own[i]] + queue).map { product(unit(row), $0) / 0.2 }
                        return logSumExp(scores) - scores[0]
                    })
            }
        }
    }

    /// Two views of each image; some images have no label.
    func testOnlyLabelledImagesCount() throws {
        let labels: [Int32] = [2, -1, 0, 1, -1, -1, 2]
        for labels in [labels, labels.map { _ in -1 }] {
            try LossCheck(widths: [3, 3])("labels \(labels)") { tape, inputs in
                let own = tape.shares.first..<tape.shares.first + tape.shares.own
                let logits = tape.concatenateRows(inputs)
                return try tape.labelledCrossEntropy(logits, labels: Array(labels[own]))
            } reference: { inputs in
                let losses = inputs.flatMap { rows in
                    zip(rows, labels).filter { $0.1 >= 0 }.map { logSumExp($0) - $0[Int($1)] }
                }
                return losses.isEmpty ? 0 : mean(losses)
            }
        }
    }

    func testNegativeCosineEqualsItsDefinition() throws {
        try LossCheck(widths: [8, 8])("negative cosine") {
            $0.negativeCosine($1[0], $1[1])
        } reference: { inputs in
            -mean(zip(inputs[0], inputs[1]).map { product(unit($0), unit($1)) })
        }
    }

    /// Over all ranks, also where all codes are alike.
    func testDeviationIsThatOfTheWholeBatch() throws {
        let ranks = World.ranks
        let (device, width) = (try Device(), 16)
        let shares = Shares(counts: World.shares(of: 400), rank: ranks.rank)
        for (spread, range) in [(Float(1), 0.95...1.05), (0, 0...0.01)] as [(Float, ClosedRange<Double>)] {
            let tape = Tape(device: device, ranks: ranks, shares: shares)
            let values = (0..<shares.own).flatMap { i -> [Float] in
                var stream = RandomStream(seed: 1, purpose: .synthetic, sample: shares.first + i)
                return (0..<width).map { _ in (spread == 0 ? 1 : 0) + spread * stream.normal() }
            }
            let codes = tape.unitRows(tape.constant(device.tensor([shares.own, width], values)))
            let part = Double(try tape.codeDeviation(codes).value.base[0])
            let deviation = try ranks.sum([part])[0] * Double(width).squareRoot()
            XCTAssertTrue(range.contains(deviation), "\(deviation), \(World.label)")
        }
    }
}
