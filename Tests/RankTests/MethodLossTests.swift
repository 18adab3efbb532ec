import Autodiff
import Collectives
import Foundation
import Layers
import Networks
import Objectives
import Tensors
import XCTest

/// Losses of BYOL, of the variational autoencoder and of FactorVAE on these ranks, against their definitions; and the
/// networks that they meet, on a split batch against one rank on the batch.
final class MethodLossTests: XCTestCase {
    private static let images = LossCheck.images

    func testCosineDistanceEqualsItsDefinition() throws {
        try LossCheck(widths: [19, 19])("cosine distance") {
            $0.cosineDistance($1[0], $1[1])
        } reference: { inputs in
            func product(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }
            return mean(
                zip(inputs[0], inputs[1]).map { p, t in
                    2 - 2 * product(p, t) / (product(p, p) * product(t, t)).squareRoot()
                })
        }
    }

    func testNormalDistributionsDivergeByTheirDefinition() throws {
        try LossCheck(widths: [5, 5])("divergence") {
            $0.gaussianDivergence(mean: $1[0], logVariance: $1[1])
        } reference: { inputs in
            mean(
                zip(inputs[0], inputs[1]).map { m, l in
                    zip(m, l).reduce(0) { $0 + 0.5 * (exp($1.1) + $1.0 * $1.0 - 1 - $1.1) }
                })
        }
    }

    /// The noise belongs to the index in the global batch.
    func testSamplesAreThoseOfTheirPlaces() throws {
        let width = 5
        func stream(_ index: Int) -> RandomStream { RandomStream(seed: 8, purpose: .synthetic, step: 1, sample: index) }
        try LossCheck(widths: [width, width])("sample") { tape, inputs in
            tape.meanSquaredNorm(tape.gaussianSample(mean: inputs[0], logVariance: inputs[1], noise: stream))
        } reference: { inputs in
            mean(
                (0..<Self.images).map { i in
                    var stream = stream(i)
                    return (0..<width).reduce(0) { sum, c in
                        let z = inputs[0][i][c] + exp(inputs[1][i][c] / 2) * Double(stream.normal())
                        return sum + z * z
                    }
                })
        }
    }

    func testBernoulliLossEqualsItsDefinition() throws {
        let size = 18
        func pixel(_ image: Int, _ index: Int) -> Float { Float((5 * image + 3 * index) % 9) / 8 }
        try LossCheck(widths: [size])("Bernoulli loss") { tape, inputs in
            let shape = [tape.shares.own, 3, 3, 2]
            let target = (0..<tape.shares.own * size).map { pixel(tape.shares.first + $0 / size, $0 % size) }
            return tape.bernoulliLoss(
                tape.reshape(inputs[0], shape), target: tape.device.tensor(shape, target))
        } reference: { inputs in
            mean(
                inputs[0].enumerated().map { i, row in
                    row.indices.reduce(0) { sum, index in
                        let (p, t) = (1 / (1 + exp(-row[index])), Double(pixel(i, index)))
                        return sum - t * log(p) - (1 - t) * log(1 - p)
                    }
                })
        }
    }

    func testTotalCorrelationAndItsDiscriminatorEqualTheirDefinitions() throws {
        try LossCheck(widths: [2])("total correlation") {
            $0.totalCorrelation($1[0])
        } reference: { inputs in
            mean(inputs[0].map { $0[0] - $0[1] })
        }
        try LossCheck(widths: [2, 2])("discriminator") {
            $0.discriminatorLoss(joint: $1[0], permuted: $1[1])
        } reference: { inputs in
            mean(
                zip(inputs[0], inputs[1]).map { joint, permuted in
                    0.5 * (logSumExp(joint) - joint[0]) + 0.5 * (logSumExp(permuted) - permuted[1])
                })
        }
    }

    /// The permuted batch is another one, and lies otherwise on the ranks.
    func testColumnsArePermutedOverAllRanks() throws {
        let ranks = World.ranks
        let (device, width) = (try Device(), 4)
        func stream(_ column: Int) -> RandomStream {
            RandomStream(seed: 2, purpose: .shuffle, step: 7, sample: column)
        }
        func value(_ row: Int, _ column: Int) -> Float { Float(10 * row + column) }
        let orders = (0..<width).map { column in
            var stream = stream(column)
            return stream.permutation(of: Self.images)
        }
        let expected = (0..<Self.images).flatMap { row in
            (0..<width).map { value(Int(orders[$0][row]), $0) }
        }
        for counts in [World.shares(of: Self.images), World.shares(of: Self.images).reversed()] {
            let shares = Shares(counts: counts, rank: ranks.rank)
            let z = device.tensor(
                [shares.own, width],
                (0..<shares.own * width).map { value(shares.first + $0 / width, $0 % width) })
            let own = try permutedColumns(z, shares: shares, device: device, ranks: ranks, stream: stream)
            XCTAssertEqual(try ranks.gather(own.array, filler: 0), expected, World.label)
        }
    }

    func testAccuracyIsThatOfTheWholeBatch() throws {
        let ranks = World.ranks
        let device = try Device()
        let counts = World.shares(of: Self.images)
        /// Logits of this rank's rows of a batch: the first `right` rows are classified correctly.
        func logits(_ counts: [Int], _ label: Int, right: Int) -> Tensor {
            let shares = Shares(counts: counts, rank: ranks.rank)
            let rows = shares.first..<shares.first + shares.own
            return device.tensor(
                [rows.count, 2], rows.flatMap { row in (0..<2).map { ($0 == label) == (row < right) ? 1 : -1 } })
        }
        let tape = Tape(device: device, ranks: ranks, shares: Shares(counts: counts, rank: ranks.rank))
        let part = tape.discriminatorAccuracy(
            joint: logits(counts, 0, right: 2), permuted: logits(counts.reversed(), 1, right: 6))
        XCTAssertEqual(try ranks.sum([part])[0], 8.0 / 14, accuracy: 1e-12, World.label)
    }

    // MARK: - Networks

    /// The global loss and all gradients of a network on these rows.
    private func evaluate(
        width: Int, counts: [Int], ranks: any Ranks,
        _ build: (Declarations) throws -> (Tape, Variable) throws -> Variable
    ) throws -> (loss: Double, gradients: [String: [Float]]) {
        let device = try Device()
        let shares = Shares(counts: counts, rank: ranks.rank)
        let declarations = Declarations()
        let loss = try build(declarations)
        let parameters = ParameterSet(declarations, device: device, seed: 4)
        let x = device.tensor([shares.own, width])
        for i in 0..<shares.own {
            var stream = RandomStream(seed: 1, purpose: .synthetic, sample: shares.first + i)
            for c in 0..<width { x.base[i * width + c] = stream.normal() }
        }
        let gradient = device.tensor(x.shape)
        let tape = Tape(device: device, ranks: ranks, shares: shares)
        let part = try loss(tape, tape.parameter(x, gradient: gradient))
        try tape.backward(from: part)
        try parameters.sumGradients(over: ranks)
        var gradients = ["input": try ranks.gather(gradient.array, filler: 0)]
        for parameter in parameters.parameters { gradients[parameter.name] = parameter.gradient.array }
        return (try ranks.sum([Double(part.value.base[0])])[0], gradients)
    }

    private func checkRanksEqualOne(
        _ name: String, width: Int, _ build: (Declarations) throws -> (Tape, Variable) throws -> Variable
    ) throws {
        let split = try evaluate(width: width, counts: World.shares(of: Self.images), ranks: World.ranks, build)
        let whole = try evaluate(width: width, counts: [Self.images], ranks: SingleRank(), build)
        XCTAssertEqual(split.loss, whole.loss, accuracy: 1e-5 * abs(whole.loss), "\(name), \(World.label)")
        XCTAssertEqual(split.gradients.keys.sorted(), whole.gradients.keys.sorted())
        for (key, expected) in whole.gradients {
            XCTAssertGreaterThan(expected.map(abs).max() ?? 0, 0, "\(name), \(key)")
            XCTAssertLessThan(
                relativeDistance(split.gradients[key] ?? [], expected), 1e-3, "\(name), \(key), \(World.label)")
        }
    }

    /// A predictor with batch norms, and its rows against those of the other half of the inputs.
    func testPredictorsOnRanksEqualOne() throws {
        try checkRanksEqualOne("BYOL", width: 12) { declare in
            let predictor = MLP(declare, "predictor", inputs: 6, widths: [8, 6], hidden: .normalised(.sync))
            return { tape, x in
                let (a, b) = (tape.columns(x, 0..<6), tape.columns(x, 6..<12))
                return tape.add(
                    tape.cosineDistance(try predictor(tape, a), b), tape.cosineDistance(try predictor(tape, b), a))
            }
        }
    }

    func testDiscriminatorsOnRanksEqualOne() throws {
        try checkRanksEqualOne("FactorVAE", width: 4) { declare in
            let discriminator = MLP(declare, "discriminator", inputs: 4, widths: [9, 9, 2], hidden: .leaky(slope: 0.2))
            return { tape, z in
                let permuted = try permutedColumns(
                    z.value, shares: tape.shares, device: tape.device, ranks: tape.ranks
                ) { RandomStream(seed: 2, purpose: .shuffle, sample: $0) }
                let joint = try discriminator(tape, z)
                return tape.add(
                    tape.totalCorrelation(joint),
                    tape.discriminatorLoss(
                        joint: joint, permuted: try discriminator(tape, tape.constant(permuted))))
            }
        }
    }

    /// A whole variational autoencoder.
    func testDecodersOnRanksEqualOne() throws {
        try checkRanksEqualOne("decoder", width: 6) { declare in
            let decoder = try ConvolutionalDecoder(
                declare, inputs: 3, image: MapShape(height: 8, width: 8, channels: 2), channels: 3, output: .logits)
            return { tape, x in
                let (mean, logVariance) = (tape.columns(x, 0..<3), tape.columns(x, 3..<6))
                let z = tape.gaussianSample(mean: mean, logVariance: logVariance) {
                    RandomStream(seed: 2, purpose: .synthetic, step: 1, sample: $0)
                }
                let target = tape.device.tensor([tape.shares.own, 8, 8, 2], filledWith: 0.25)
                return tape.add(
                    tape.bernoulliLoss(try decoder(tape, z), target: target),
                    tape.gaussianDivergence(mean: mean, logVariance: logVariance))
            }
        }
    }

    func testDecodersEndInPixelsOrTheirLogits() throws {
        let device = try Device()
        let images = try [ConvolutionalDecoder.Output.tanh, .logits].map { output in
            let declarations = Declarations()
            let decoder = try ConvolutionalDecoder(
                declarations, inputs: 3, image: MapShape(height: 8, width: 12, channels: 2), channels: 3,
                output: output)
            _ = ParameterSet(declarations, device: device, seed: 4)
            let tape = Tape(device: device, ranks: SingleRank(), shares: Shares(counts: [5], rank: 0))
            var stream = RandomStream(seed: 1, purpose: .synthetic)
            let x = device.tensor([5, 3], (0..<15).map { _ in stream.normal() })
            let result = try decoder(tape, tape.constant(x))
            XCTAssertEqual(result.shape, [5, 8, 12, 2])
            return result.value.array
        }
        for (pixel, logit) in zip(images[0], images[1]) { XCTAssertEqual(pixel, tanh(logit), accuracy: 1e-6) }
    }
}
