import Collectives
import Datasets
import Foundation
import Layers
import Methods
import Tensors
import XCTest

@testable import Training

/// The law of ranks for whole runs of every method: these ranks equal one rank, for losses, gradients and parameters,
/// also where a rank has no sample, where a run goes on from another number of ranks, and where batches pass in pieces.
final class MethodLawTests: XCTestCase {
    /// Small settings of each method. A method without a row fails here.
    private static let rows: [MethodKind: [String: JSONValue]] = [
        .deepInfoMax: [
            "critic.units": .integer(8), "objective.prior.weight": .number(0.1), "objective.globalWeight": .number(0.5),
            "objective.coordinatesWeight": .number(0.2), "objective.occlusion": .integer(5),
            "objective.prior.optimiser.epsilon": .number(1e-4),
        ],
        .byol: [
            "projector.hidden": .integer(12), "projector.width": .integer(6), "predictor.hidden": .integer(12),
            "predictor.width": .integer(6), "momentum.start": .number(0.5),
        ],
        .factorVAE: [
            "decoder.channels": .integer(4), "discriminator.layers": .integer(3), "discriminator.units": .integer(16),
            "discriminator.times": .integer(2), "discriminator.optimiser.epsilon": .number(1e-4),
            "encoder.code": .integer(3), "gamma": .integer(2),
        ],
    ]

    private static let common: [String: JSONValue] = [
        "batch": .integer(12), "steps": .integer(5), "seed": .integer(3), "data.virtualShards": .integer(8),
        "data.augmentation.padCrop": .integer(2), "data.augmentation.flip": .boolean(true),
        // Without such an epsilon Adam makes whole steps of gradients that are nothing but rounding.
        "optimiser.rate": .number(1e-3), "optimiser.warmupSteps": .integer(0), "optimiser.epsilon": .number(1e-4),
        "encoder.kind": .string("convolutional"), "encoder.fullyConnected": .array([.integer(16)]),
        "encoder.blocks": .array([.object(["channels": .integer(6)])]),
    ]

    private var folder = ""

    override func setUpWithError() throws {
        let path = NSTemporaryDirectory() + "dim-dist-law-" + UUID().uuidString
        folder = try World.ranks.broadcast(path, from: 0)
        try World.ranks.agree {
            if World.ranks.isFirst {
                try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
                try images().write(to: URL(fileURLWithPath: folder + "/images"))
            }
        }
    }

    override func tearDownWithError() throws {
        try World.ranks.barrier()
        if World.ranks.isFirst { try FileManager.default.removeItem(atPath: folder) }
    }

    /// 96 images of 12x12, noise around one of four levels, as an IDX file.
    private func images() -> Data {
        var bytes: [UInt8] = [0, 0, 8, 3, 0, 0, 0, 96, 0, 0, 0, 12, 0, 0, 0, 12]
        for image in 0..<96 {
            var stream = RandomStream(seed: 5, purpose: .synthetic, sample: image)
            for _ in 0..<12 * 12 { bytes.append(UInt8(40 * (image % 4) + stream.index(below: 100))) }
        }
        return Data(bytes)
    }

    func testEveryMethodObeysTheLaw() throws {
        for kind in MethodKind.allCases {
            guard let row = Self.rows[kind] else {
                XCTFail("\(kind.rawValue) has no row of settings here")
                continue
            }
            XCTAssertEqual(kind.type.name, kind.rawValue)
            try check(kind.type, row)
        }
    }

    // MARK: - One method

    private func configuration<M: Method>(
        _ row: [String: JSONValue], _ more: [String: JSONValue] = [:]
    ) throws -> Configuration<M> {
        let settings = Self.common.merging(row) { $1 }.merging(more) { $1 }
        return try Configuration(
            layers: settings.map { .leaf($0.key, $0.value) } + [.leaf("data.path", .string(folder + "/images"))])
    }

    private func check<M: Method>(_ method: M.Type, _ row: [String: JSONValue]) throws {
        let place = "\(M.name), \(World.place)"
        let plain: Configuration<M> = try configuration(row)
        try compareGradients(plain, place)
        let alone = try run(plain, "\(M.name)-alone-\(World.ranks.rank)", SingleRank())
        XCTAssertGreaterThan(relativeDistance(alone.parameters, alone.start), 1e-3, "\(place): nothing moved")

        try compare(try run(plain, "\(M.name)-split", World.ranks), alone, place)

        // Nodes of one and of two ranks, which sum over the network while backward runs.
        for largest in [1, 2] where World.ranks.worldSize > largest {
            World.ranks.largestNode = largest
            defer { World.ranks.largestNode = nil }
            try compare(
                try run(plain, "\(M.name)-nodes-\(largest)", World.ranks), alone, "\(place), nodes of \(largest)")
        }

        // One step on one rank, the others on all.
        if World.ranks.isFirst { _ = try run(plain, "\(M.name)-parts", SingleRank(), isStopped: true) }
        try World.ranks.barrier()
        try compare(try run(plain, "\(M.name)-parts", World.ranks), alone, "\(place), resumed")

        let pieces: Configuration<M> = try configuration(row, ["microBatch": .integer(2)])
        try compare(try run(pieces, "\(M.name)-pieces", World.ranks), alone, "\(place), in pieces")

        // So few samples that of three ranks one has none in some step.
        let few: Configuration<M> = try configuration(row, ["batch": .integer(3)])
        let fewAlone = try run(few, "\(M.name)-few-alone-\(World.ranks.rank)", SingleRank())
        let split = try run(few, "\(M.name)-few", World.ranks)
        if World.ranks.worldSize >= 3 { XCTAssertTrue(split.hadEmptyRank, place) }
        // Batch norms over three rows multiply what rounding leaves.
        try compare(split, fewAlone, "\(place), few samples", tolerance: 1e-3)
    }

    private struct Outcome {
        var losses: [Double] = []
        var start: [Float] = []
        var parameters: [Float] = []
        var states: [Float] = []
        var hadEmptyRank = false
    }

    /// A line of metrics.
    private struct Line: Decodable {
        let loss: Double
        let terms: [String: Double]
    }

    /// A run of the configuration, or what is left of it, in a folder of this name.
    /// - Parameter isStopped: behind its first step.
    private func run<M: Method>(
        _ configuration: Configuration<M>, _ name: String, _ ranks: any Ranks, isStopped: Bool = false
    ) throws -> Outcome {
        let output = "\(folder)/\(name)"
        let run = try TrainingRun(configuration, output: output, resume: true, device: Device(), ranks: ranks)
        var outcome = Outcome(start: run.model.store.groups.flatMap(\.parameters.values.array))
        let stop = StopRequest(signals: isStopped ? [SIGUSR2] : [])
        if isStopped {
            kill(getpid(), SIGUSR2)
            for _ in 0..<10_000 where !stop.isMade { usleep(1000) }
        }
        let ended = try run.train(stop: stop, isTerminal: false)
        XCTAssertEqual(ended, isStopped ? .interrupted(step: 1, problem: nil) : .finished)
        outcome.parameters = run.model.store.groups.flatMap(\.parameters.values.array)
        outcome.states = run.model.store.states.flatMap(\.values)
        try ranks.barrier()
        for line in try String(contentsOfFile: output + "/metrics.jsonl", encoding: .utf8).split(separator: "\n") {
            let line = try JSONDecoder().decode(Line.self, from: Data(line.utf8))
            outcome.losses.append(line.loss)
            // An accuracy of few samples jumps with the rounding of a tie.
            outcome.losses += line.terms.filter { $0.key != "accuracy" }.sorted { $0.key < $1.key }.map(\.value)
        }
        let plan = run.data.plan
        outcome.hadEmptyRank = (0..<configuration.steps).contains { step in
            (0..<ranks.worldSize).contains { plan.share(step: step, rank: $0, worldSize: ranks.worldSize) == 0 }
        }
        return outcome
    }

    private func compare(_ found: Outcome, _ expected: Outcome, _ place: String, tolerance: Double = 1e-4) throws {
        XCTAssertEqual(found.losses.count, expected.losses.count, place)
        for (a, b) in zip(found.losses, expected.losses) {
            XCTAssertEqual(a, b, accuracy: tolerance * max(abs(b), 0.1), place)
        }
        XCTAssertLessThan(relativeDistance(found.parameters, expected.parameters), tolerance, "parameters, \(place)")
        XCTAssertLessThan(relativeDistance(found.states, expected.states), tolerance, "states, \(place)")
    }

    /// The gradients of each pass of the first step, and whether only players have some.
    private func compareGradients<M: Method>(_ configuration: Configuration<M>, _ place: String) throws {
        let split = try gradients(configuration, World.ranks)
        let alone = try gradients(configuration, SingleRank())
        XCTAssertEqual(split.keys.sorted(), alone.keys.sorted(), place)
        let largest = alone.values.flatMap { $0 }.map(abs).max() ?? 0
        XCTAssertGreaterThan(largest, 0, place)
        for (name, expected) in alone {
            // A gradient that is 0 but for rounding can't be compared by its own size.
            let norm = expected.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
            guard norm > 1e-5 * Double(largest) else { continue }
            XCTAssertLessThan(relativeDistance(split[name] ?? [], expected), 1e-3, "gradient of \(name), \(place)")
        }
    }

    /// By the place of the pass and the name of the parameter, summed over ranks.
    private func gradients<M: Method>(
        _ configuration: Configuration<M>, _ ranks: any Ranks
    ) throws -> [String: [Float]] {
        let device = try Device()
        let data = try M.Source(
            configuration.data, try M.recipe(configuration.method, configuration.data), batch: configuration.batch,
            seed: configuration.seed, ranks: ranks)
        let model = try Model(configuration, card: data.card, device: device)
        var result: [String: [Float]] = [:]
        for scheduled in ScheduledPass.all(of: model.method.turns(at: 0)) {
            let batch = try data.batch(scheduled.draw, device: device)
            let pass = Pass(
                scheduled.turn, step: 0, place: scheduled.place, seed: configuration.seed, device: device, ranks: ranks,
                shares: batch.shares)
            try pass.backward(try model.method.terms(pass, batch))
            for parameter in scheduled.turn.players.flatMap(\.parameters.parameters) {
                var gradient = parameter.gradient.array
                try gradient.withUnsafeMutableBufferPointer { try ranks.sum($0) }
                result["\(scheduled.place) \(parameter.name)"] = gradient
            }
        }
        return result
    }
}
