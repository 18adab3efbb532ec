import Autodiff
import Collectives
import Foundation
import Objectives
import Tensors
import Testing

/// Estimators of a sample from each of two distributions.
private let twoSample = Estimator.allCases.filter { $0 != .infoNCE }

/// The estimators at their best critics, on P = [.4, .1, .1, .4] and Q = ¼ each, against the divergences themselves.
@Suite struct TwoSampleLossTests {
    private static let p = [0.4, 0.1, 0.1, 0.4]

    /// Estimator, its best critic at a point where p/q is `ratio`, and the divergence there.
    private static let golden: [(Estimator, critic: @Sendable (_ ratio: Double) -> Double, value: Double)] = [
        (.nwj, { 1 + log($0) }, 0.192744757),
        (.donskerVaradhan, { 5 + log($0) }, 0.192744757),  // up to a constant
        (.reverseKL, { log($0) }, 0.223143551),
        (.jensenShannon, { log($0) }, 0.101343674),
        (.gan, { log($0) }, -1.284950687),
        (.squaredHellinger, { 0.5 * log($0) }, 0.102633404),
        (.pearsonChiSquared, { 2 * ($0 - 1) }, 0.36),
    ]

    /// This rank's part of the loss and of its gradient by [positives, negatives].
    private func evaluate(
        _ estimator: Estimator, _ positives: [Float], _ negatives: [Float], ranks: any Ranks = SingleRank()
    ) throws -> (loss: Double, gradient: [Float]) {
        let device = try Device()
        let tape = Tape(device: device, ranks: ranks, shares: Shares(counts: [1], rank: 0))
        let values = [positives, negatives].map { device.tensor([$0.count, 1], $0) }
        let gradients = values.map { device.tensor($0.shape) }
        let loss = try tape.twoSampleLoss(
            estimator, positives: tape.parameter(values[0], gradient: gradients[0]),
            negatives: tape.parameter(values[1], gradient: gradients[1]))
        try tape.backward(from: loss)
        return (Double(loss.value.base[0]), gradients.flatMap(\.array))
    }

    @Test(arguments: golden.indices)
    func bestCriticsReachTheDivergences(index: Int) throws {
        let (estimator, critic, value) = Self.golden[index]
        // Ten samples of P and four of Q, in their proportions.
        let ratios = Self.p.map { $0 / 0.25 }
        let positives = zip([4, 1, 1, 4], ratios).flatMap { Array(repeating: Float(critic($1)), count: $0) }
        let result = try evaluate(estimator, positives, ratios.map { Float(critic($0)) })
        #expect(abs(-result.loss - value) < 1e-6, "\(estimator)")
        if let divergence = divergence(of: estimator) {  // and without rounding to float32
            let exact = zip(Self.p, ratios).reduce(0) {
                $0 + $1.0 * divergence.positive(critic($1.1)).value - 0.25 * divergence.negative(critic($1.1)).value
            }
            #expect(abs(exact - value) < 1e-8, "\(estimator)")
        }
        // At its best a critic can't be bettered in any direction: the gradients of equal samples cancel.
        for point in 0..<4 {
            let start = [0, 4, 5, 6, 10][point]
            let end = [0, 4, 5, 6, 10][point + 1]
            #expect(abs(result.gradient[start..<end].reduce(0, +) + result.gradient[10 + point]) < 1e-6, "\(estimator)")
        }
    }

    private func divergence(of estimator: Estimator) -> Divergence? {
        if case .divergence(let divergence) = estimator.form { divergence } else { nil }
    }

    @Test(arguments: Divergence.allCases)
    func slopesAreThoseOfTheValues(divergence: Divergence) {
        for function in [divergence.positive, divergence.negative] {
            for u in stride(from: -60.0, through: 60, by: 0.7) {
                let step = 1e-5
                let slope = (function(u + step).value - function(u - step).value) / (2 * step)
                #expect(abs(slope - function(u).slope) <= 1e-5 * max(1, abs(slope)), "\(divergence) at \(u)")
            }
        }
    }

    @Test(arguments: twoSample)
    func enormousScoresStayFinite(estimator: Estimator) throws {
        for size: Float in [1000, 1e6] {
            for (positive, negative) in [(size, -size), (-size, size), (size, size), (-size, -size)] {
                let result = try evaluate(estimator, [positive, 0], [negative, 1, 2])
                #expect(result.loss.isFinite && result.gradient.allSatisfy(\.isFinite), "\(estimator) at \(size)")
            }
        }
    }

    /// Samples spread unevenly over ranks, with none of one kind on one of them.
    @Test(arguments: twoSample)
    func ranksShareOneLoss(estimator: Estimator) throws {
        let (positives, negatives): ([Float], [Float]) = ([1, -0.5, 2, 0.3], [0.7, -1, 0.2])
        let whole = try evaluate(estimator, positives, negatives)
        let results = try ThreadRank.run(3) { ranks in
            let positive = [positives[0..<1], positives[1..<1], positives[1..<4]][ranks.rank]
            let negative = [negatives[0..<0], negatives[0..<2], negatives[2..<3]][ranks.rank]
            return try evaluate(estimator, Array(positive), Array(negative), ranks: ranks)
        }
        #expect(abs(results.reduce(0) { $0 + $1.loss } - whole.loss) < 1e-6)
        let positive = [1, 0, 3]
        let byPositives = zip(results, positive).flatMap { $0.gradient.prefix($1) }
        let byNegatives = zip(results, positive).flatMap { $0.gradient.dropFirst($1) }
        for (found, expected) in zip(byPositives + byNegatives, whole.gradient) {
            #expect(abs(found - expected) < 1e-6)
        }
    }
}
