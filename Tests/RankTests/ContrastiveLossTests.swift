import Autodiff
import Collectives
import Objectives
import Tensors
import XCTest

/// The streaming loss on these ranks against the dense one in Double.
final class ContrastiveLossTests: XCTestCase {
    private let ranks = World.ranks

    /// Loss and gradients of this rank's slice.
    private func streamed(
        _ batch: DenseBatch, _ item: LossCase, tileScores: Int
    ) throws -> (loss: Double, locals: [Float], globals: [Float], range: Range<Int>) {
        let shares = Shares(counts: World.shares(of: batch.images), rank: ranks.rank)
        let (m, d) = (batch.locations, batch.dimensions)
        let own = shares.first..<shares.first + shares.own
        let device = try Device()
        let locals = batch.locals[own.lowerBound * m * d..<own.upperBound * m * d].map { Float($0) }
        let globals = batch.globals[own.lowerBound * d..<own.upperBound * d].map { Float($0) }
        var loss = item.loss
        loss.tileScores = tileScores
        loss.tileGlobals = tileScores == 50 ? 3 : 1024
        // Two factors that split the dimensions must give what one gives.
        let cut = d / 2
        let whole = device.tensor([own.count * m, d], locals)
        let (left, right) = (device.tensor([own.count * m, cut]), device.tensor([own.count * m, d - cut]))
        left.matrix.copy(from: whole.matrix[columns: 0..<cut])
        right.matrix.copy(from: whole.matrix[columns: cut..<d])
        let result = try loss(
            locals: [LocalFactor(values: left, columns: 0..<cut), LocalFactor(values: right, columns: cut..<d)],
            globals: device.tensor([own.count, d], globals), locations: m, shares: shares, device: device, ranks: ranks)
        let gradient = device.tensor([own.count * m, d])
        gradient.matrix[columns: 0..<cut].copy(from: result.locals[0].matrix)
        gradient.matrix[columns: cut..<d].copy(from: result.locals[1].matrix)
        return (try ranks.sum([result.loss])[0], gradient.array, result.globals.array, own)
    }

    func testLossAndGradientsEqualTheDenseOnes() throws {
        for (scale, tolerance) in [(1.0, 1e-5), (8.0, 1e-4)] {
            let batch = randomBatch(images: 7, locations: 3, dimensions: 5, scale: scale)
            for item in LossCase.all {
                let expected = batch.gradients(item)
                for tileScores in [1, 50, 1 << 20] {
                    let label = "\(item), scale \(scale), tiles of \(tileScores), \(World.label)"
                    let result = try streamed(batch, item, tileScores: tileScores)
                    let loss = item.loss(batch.scores)
                    XCTAssertEqual(result.loss, loss, accuracy: tolerance * max(abs(loss), 1e-2), label)
                    let m = batch.locations * batch.dimensions
                    let own = result.range
                    XCTAssertLessThan(
                        relativeDistance(
                            result.locals, Array(expected.locals[own.lowerBound * m..<own.upperBound * m])),
                        tolerance, "locals, \(label)")
                    let d = batch.dimensions
                    XCTAssertLessThan(
                        relativeDistance(
                            result.globals, Array(expected.globals[own.lowerBound * d..<own.upperBound * d])),
                        tolerance, "globals, \(label)")
                }
            }
        }
    }

    /// Scores of ±1000: finite, and right to rounding of the scores.
    func testLargeScoresStayFinite() throws {
        let batch = randomBatch(images: 6, locations: 4, dimensions: 4, scale: 20)
        let largest = (0..<6).flatMap { i in (0..<6).flatMap { j in (0..<4).map { abs(batch.score(i, j, $0)) } } }.max()
        XCTAssertGreaterThan(largest ?? 0, 1000)
        for item in LossCase.all {
            let result = try streamed(batch, item, tileScores: 1 << 20)
            let loss = item.loss(batch.scores)
            XCTAssertEqual(result.loss, loss, accuracy: 2e-5 * abs(loss), "\(item), \(World.label)")
            XCTAssert((result.locals + result.globals).allSatisfy(\.isFinite), "\(item), \(World.label)")
        }
    }

    /// All scores 0: the closed forms of a critic that knows nothing.
    func testZeroScoresGiveTheClosedForms() throws {
        for (images, locations, expected) in [(64, 64, 8.302266), (200, 49, 9.185228), (200, 25, 8.512382)] {
            let batch = DenseBatch(
                images: images, locations: locations, dimensions: 2,
                locals: Array(repeating: 0, count: images * locations * 2),
                globals: Array(repeating: 1, count: images * 2))
            for item in LossCase.all where item.compatibility == .exact {
                let closedForm: Double =
                    switch item.estimator {
                    case .infoNCE:
                        switch item.anchor {
                        case .global: expected
                        case .local: Double(images).logarithm
                        case .both: (expected + Double(images).logarithm) / 2
                        }
                    case .gan: 1.386294
                    case .nwj: (-1.0).exponential
                    case .donskerVaradhan, .jensenShannon, .reverseKL, .squaredHellinger, .pearsonChiSquared: 0
                    }
                let loss = try streamed(batch, item, tileScores: 1 << 16).loss
                XCTAssertEqual(loss, closedForm, accuracy: 1e-6 * max(closedForm, 1), "\(item), \(World.label)")
            }
        }
    }

    func testOneImageIsRefused() throws {
        let batch = randomBatch(images: 1, locations: 3, dimensions: 4, scale: 1)
        for item in LossCase.all {
            XCTAssertThrowsError(try streamed(batch, item, tileScores: 1)) {
                XCTAssert("\($0)".contains("at least 2 images"), "\($0)")
            }
        }
    }
}

func randomBatch(images: Int, locations: Int, dimensions: Int, scale: Double) -> DenseBatch {
    var stream = RandomStream(seed: 7, purpose: .synthetic)
    func values(_ count: Int) -> [Double] { (0..<count).map { _ in Double(Float(scale) * (4 * stream.uniform() - 2)) } }
    return DenseBatch(
        images: images, locations: locations, dimensions: dimensions, locals: values(images * locations * dimensions),
        globals: values(images * dimensions))
}
