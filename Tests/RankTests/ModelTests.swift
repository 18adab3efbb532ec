import Autodiff
import Collectives
import Datasets
import Layers
import Methods
import Networks
import Objectives
import Tensors
import Training
import XCTest

private typealias Configuration = Training.Configuration<DeepInfoMax>

/// The law of ranks for the whole model: these ranks on a split batch equal one rank on the batch.
final class ModelTests: XCTestCase {
    private struct Outcome {
        let gradientCount: Int
        let notes: [String]
        var losses: [Double] = []
        var firstGradients: [String: [Float]] = [:]
        var parameters: [String: [Float]] = [:]
        var states: [String: [Float]] = [:]
    }

    /// A few steps of Adam on one random batch, of which this rank has its share.
    private func run(
        _ configuration: Configuration, card: ViewCard, counts: [Int], ranks: any Ranks, steps: Int,
        timeline: Timeline? = nil
    ) throws -> Outcome {
        let device = try Device()
        device.timeline = timeline
        let model = try Model(configuration, card: card, device: device)
        let engine = try GradientEngine(model.store, ranks: ranks, exchange: configuration.exchange)
        let batch = batch(card, counts: counts, ranks: ranks, device: device)
        let players = model.method.turns(at: 0)[0].players
        var outcome = Outcome(gradientCount: players.reduce(0) { $0 + $1.count }, notes: engine.notes)
        for step in 0..<steps {
            let pass = Pass(
                Turn(players), step: step, seed: configuration.seed, microBatch: configuration.microBatch,
                device: device, ranks: ranks, shares: batch.shares)
            let terms = try model.method.terms(pass, batch)
            let take = engine.expect(players)
            // The first step's gradients are inspected, so they are summed after it; the others during the step.
            try pass.backward(terms, finished: step == 0 ? nil : take)
            if step == 0 {
                for parameter in model.store.parameters {
                    var gradient = parameter.gradient.array
                    try gradient.withUnsafeMutableBufferPointer { try ranks.sum($0) }
                    outcome.firstGradients[parameter.name] = gradient
                }
            }
            var losses = LossTerms(terms)
            let update = try engine.update(players, &losses, at: step, of: steps)
            XCTAssertTrue(update.isFinite)
            pass.settle()
            outcome.losses += [losses.loss] + losses.values
        }
        for parameter in model.store.parameters { outcome.parameters[parameter.name] = parameter.value.array }
        for state in model.store.states { outcome.states[state.name] = state.values }
        return outcome
    }

    /// Noise, of which each image is the same at any number of ranks.
    private func batch(_ card: ViewCard, counts: [Int], ranks: any Ranks, device: Device) -> ViewBatch {
        let shares = Shares(counts: counts, rank: ranks.rank)
        let images = device.tensor([shares.own, card.height, card.width, card.channels])
        let size = card.height * card.width * card.channels
        for i in 0..<shares.own {
            var stream = RandomStream(seed: 1, purpose: .synthetic, sample: shares.first + i)
            for k in 0..<size { images.base[i * size + k] = 2 * stream.uniform() - 1 }
        }
        return ViewBatch(shares: shares, samples: Array(shares.first..<shares.first + shares.own), images: images)
    }

    /// Settings whose first steps move far enough.
    private func makeConfiguration() -> Configuration {
        var configuration = Configuration()
        configuration.optimiser.rate = 1e-4
        configuration.optimiser.warmupSteps = 0
        configuration.objective.prior.optimiser.rate = 1e-4
        return configuration
    }

    private func card(size: Int, channels: Int) -> ViewCard { card(height: size, width: size, channels: channels) }

    private func card(height: Int, width: Int, channels: Int) -> ViewCard {
        ViewCard(
            height: height, width: width, channels: channels,
            normalisation: Normalisation(
                mean: Array(repeating: 0, count: channels), deviation: Array(repeating: 1, count: channels)))
    }

    func testRanksEqualOneRank() throws {
        for (size, channels) in [(32, 3), (28, 1)] {
            for isMixture in [false, true] {
                var configuration = makeConfiguration()
                configuration.critic.units = 24
                if isMixture {
                    configuration.objective.globalWeight = 0.5
                    configuration.objective.prior.weight = 0.1
                    configuration.objective.coordinatesWeight = 0.2
                    configuration.objective.occlusion = 9
                }
                try assertRanksEqualOneRank(
                    configuration, card: card(size: size, channels: channels),
                    "\(isMixture ? "mixture" : "local"), \(size)x\(size), \(World.label)")
            }
        }
    }

    /// A gradient that isn't finite in one parameter set, on one rank, leaves all parameters on all ranks as they are.
    func testOneBadGradientStopsAllSets() throws {
        defer { World.ranks.largestNode = nil }
        var configuration = makeConfiguration()
        configuration.critic.units = 8
        configuration.objective.prior.weight = 0.1
        for largest in [nil, 1, 2] {
            World.ranks.largestNode = largest
            for bad in 0..<2 {
                let (card, device) = (card(size: 28, channels: 1), try Device())
                let model = try Model(configuration, card: card, device: device)
                let engine = try GradientEngine(model.store, ranks: World.ranks, exchange: .float32)
                let batch = batch(card, counts: World.shares(of: 6), ranks: World.ranks, device: device)
                let players = model.method.turns(at: 0)[0].players
                let pass = Pass(
                    Turn(players), step: 0, seed: 0, device: device, ranks: World.ranks, shares: batch.shares)
                let terms = try model.method.terms(pass, batch)
                _ = engine.expect(players)
                try pass.backward(terms)
                if World.ranks.rank == 0 { players[bad].parameters.gradients.base[3] = .infinity }
                let before = players.map(\.parameters.values.array)
                var losses = LossTerms(terms)
                let update = try engine.update(players, &losses, at: 0, of: 1)
                XCTAssertFalse(update.isFinite, "group \(bad), nodes of \(largest ?? 0), \(World.label)")
                XCTAssertTrue(players.map(\.parameters.values.array) == before, World.label)
            }
        }
    }

    /// Nodes of one and of two ranks, the last one smaller, that sum their slices over the network.
    func testNodesEqualOneRank() throws {
        defer { World.ranks.largestNode = nil }
        var configuration = makeConfiguration()
        configuration.critic.units = 24
        configuration.objective.prior.weight = 0.1
        for largest in [1, 2] {
            World.ranks.largestNode = largest
            try assertRanksEqualOneRank(
                configuration, card: card(size: 28, channels: 1), "nodes of \(largest), \(World.label)")
        }
    }

    /// The bytes that travel between nodes, and what the user is told.
    func testExchangeInBFloat16HasHalfTheBytes() throws {
        defer { World.ranks.largestNode = nil }
        var configuration = makeConfiguration()
        configuration.critic.units = 24
        let size = World.ranks.worldSize
        for (largest, exchange) in [nil, 1].flatMap({ largest in Precision.allCases.map { (largest, $0) } }) {
            World.ranks.largestNode = largest
            configuration.exchange = exchange
            let timeline = Timeline()
            let outcome = try run(
                configuration, card: card(size: 28, channels: 1), counts: World.shares(of: 10),
                ranks: TimedRanks(World.ranks, timeline: timeline), steps: 2, timeline: timeline)
            let bytes = timeline.pieces.filter { $0.name == "gradient sum over nodes" }.map(\.work.bytes)
            let nodes = largest == nil ? 1 : size
            let each = exchange == .float32 ? 4 : 2
            let expected = nodes == 1 ? 0 : 2 * each * outcome.gradientCount
            XCTAssertEqual(bytes.reduce(0, +), expected, "\(exchange), \(nodes) nodes, \(World.label)")

            XCTAssertEqual(outcome.notes.count, exchange == .float32 ? 0 : 1, World.label)
            let texts = nodes == 1 ? ["no effect"] : ["rounded between the \(nodes) nodes", "law of ranks"]
            for note in outcome.notes {
                for text in texts { XCTAssertTrue(note.contains(text), "\(note), \(World.label)") }
            }
        }
    }

    /// An encoder of the settings' own blocks, with pools, on images that aren't square; and one without convolutions.
    func testRanksEqualOneRankForOtherEncoders() throws {
        var configuration = makeConfiguration()
        configuration.critic.units = 24
        configuration.encoder.kind = .convolutional
        configuration.encoder.blocks = [
            EncoderBlock(12, kernel: 3, stride: 1, padding: 1, pool: 3),
            EncoderBlock(20, kernel: 4, stride: 2, padding: 1),
        ]
        configuration.encoder.fullyConnected = [40, 30]
        var mixture = configuration
        mixture.objective.globalWeight = 0.5
        mixture.objective.coordinatesWeight = 0.2
        try assertRanksEqualOneRank(
            mixture, card: card(height: 13, width: 22, channels: 2), "own blocks, \(World.label)")
        configuration.encoder = EncoderSettings()
        try assertRanksEqualOneRank(
            configuration, card: card(height: 1, width: 1, channels: 30), "vectors, \(World.label)")
    }

    /// Residual networks of both stems and blocks, and the fast network, also in micro-batches.
    func testRanksEqualOneRankForResidualAndFastEncoders() throws {
        var configuration = makeConfiguration()
        configuration.critic.units = 24
        configuration.optimiser.rate = 1e-5
        configuration.encoder = EncoderSettings(code: 0)
        configuration.encoder.kind = .residual
        (configuration.encoder.residual.depth, configuration.encoder.residual.width) = (0, 6)
        for (stem, blocks, isBottleneck) in [(ResidualStem.cifar, [1, 2], false), (.imageNet, [1], true)] {
            configuration.encoder.residual.stem = stem
            configuration.encoder.residual.blocks = blocks
            configuration.encoder.residual.bottleneck = isBottleneck
            for microBatch in [0, 3] {
                try assertRanksEqualOneRank(
                    configuration, card: card(height: 13, width: 22, channels: 2), microBatch: microBatch,
                    "residual, \(stem), micro-batches of \(microBatch), \(World.label)")
            }
        }
        var fast = configuration
        fast.encoder = EncoderSettings()
        fast.encoder.kind = .fast
        fast.encoder.fast.widths = [12, 10]
        let identity = (0..<64).map { $0 % 9 == 0 ? Float(1) : 0 }
        let card = ViewCard(
            height: 13, width: 22, channels: 2, normalisation: card(size: 13, channels: 2).normalisation,
            patchCovariance: identity)
        for microBatch in [0, 3] {
            try assertRanksEqualOneRank(
                fast, card: card, microBatch: microBatch, "fast, micro-batches of \(microBatch), \(World.label)")
        }
    }

    /// Two-phase accumulation in micro-batches of 2 images, and of all but one, is the one-phase step.
    func testPiecesEqualTheWhole() throws {
        var configuration = makeConfiguration()
        configuration.critic.units = 24
        for (isMixture, size) in [(false, 2), (true, 3)] {
            if isMixture {
                configuration.objective.globalWeight = 0.5
                configuration.objective.prior.weight = 0.1
                configuration.objective.coordinatesWeight = 0.2
                configuration.objective.occlusion = 9
                configuration.critic.normalisation = .layerNorm
            }
            try assertRanksEqualOneRank(
                configuration, card: card(size: 28, channels: 1), microBatch: size,
                "\(isMixture ? "mixture" : "local") in micro-batches of \(size), \(World.label)")
        }
    }

    private func assertRanksEqualOneRank(
        _ configuration: Configuration, card: ViewCard, microBatch: Int = 0, _ label: String
    ) throws {
        var microBatched = configuration
        microBatched.microBatch = microBatch
        let split = try run(
            microBatched, card: card, counts: World.shares(of: 10), ranks: World.ranks, steps: 3)
        let whole = try run(configuration, card: card, counts: [10], ranks: SingleRank(), steps: 3)
        for (mine, expected) in zip(split.losses, whole.losses) {
            XCTAssertEqual(mine, expected, accuracy: 1e-5 * max(abs(expected), 1e-2), label)
        }
        for (name, gradient) in whole.firstGradients {
            XCTAssertLessThan(
                relativeDistance(split.firstGradients[name] ?? [], gradient), 1e-4,
                "gradient of \(name), \(label)")
        }
        let names = whole.parameters.keys.sorted()
        XCTAssertLessThan(
            relativeDistance(
                names.flatMap { split.parameters[$0] ?? [] }, names.flatMap { whole.parameters[$0] ?? [] }),
            1e-4, "parameters after 3 steps, \(label)")
        for (name, values) in whole.states {
            XCTAssertLessThan(relativeDistance(split.states[name] ?? [], values), 1e-3, "\(name), \(label)")
        }
    }

    func testTheSameRanksGiveTheSameBits() throws {
        var configuration = makeConfiguration()
        configuration.critic.units = 24
        let counts = World.shares(of: 10)
        let card = card(size: 28, channels: 1)
        let first = try run(configuration, card: card, counts: counts, ranks: World.ranks, steps: 3)
        let second = try run(configuration, card: card, counts: counts, ranks: World.ranks, steps: 3)
        XCTAssertEqual(first.losses, second.losses, World.label)
        XCTAssertEqual(first.parameters, second.parameters, World.label)
        // And on every rank: the maximum over ranks is everybody's own.
        for (name, values) in first.parameters.sorted(by: { $0.key < $1.key }) {
            var largest = values
            try largest.withUnsafeMutableBufferPointer { try World.ranks.maximum($0) }
            XCTAssertEqual(largest, values, "\(name), \(World.label)")
        }
    }

    /// A hidden square changes the codes, not what batch norms remember of whole images.
    func testOcclusionLeavesTheRunningStatistics() throws {
        var configuration = makeConfiguration()
        configuration.critic.units = 24
        let (card, counts) = (card(size: 28, channels: 1), World.shares(of: 10))
        let whole = try run(configuration, card: card, counts: counts, ranks: World.ranks, steps: 1)
        configuration.objective.occlusion = 20
        let hidden = try run(configuration, card: card, counts: counts, ranks: World.ranks, steps: 1)
        XCTAssertGreaterThan(abs(whole.losses[0] - hidden.losses[0]), 1e-3)
        for (name, values) in whole.states where name.hasPrefix("encoder.") {
            XCTAssertEqual(hidden.states[name], values, "\(name), \(World.label)")
        }
    }

    /// Batch norm over this rank's rows alone is offered, and is another function.
    func testLocalBatchNormDiffersFromSynchronised() throws {
        guard World.ranks.worldSize == 2 else { return }  // alone they are the same; with three a rank has no rows
        var configuration = makeConfiguration()
        configuration.critic.units = 24
        let card = card(size: 28, channels: 1)
        let counts = World.shares(of: 10)
        let synchronised = try run(configuration, card: card, counts: counts, ranks: World.ranks, steps: 1)
        configuration.batchNorm = .local
        let local = try run(configuration, card: card, counts: counts, ranks: World.ranks, steps: 1)
        XCTAssertGreaterThan(abs(synchronised.losses[0] - local.losses[0]), 1e-3)
    }
}
