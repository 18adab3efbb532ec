import Collectives
import Datasets
import Foundation
import Layers
import Methods
import Tensors
import XCTest

@testable import Training

/// The law of ranks for whole runs of every method: these ranks equal one rank, for losses, gradients and parameters,
/// also where a rank has no sample, where a run goes on from another number of ranks, and where batches pass in
/// micro-batches.
///
/// At small sizes; with DIM_DIST_LONG=1 in the environment at large ones (`launch/test --all`).
final class MethodLawTests: XCTestCase {
    private let size: MethodSize = ProcessInfo.processInfo.environment["DIM_DIST_LONG"] == "1" ? .large : .small
    private var folder = ""

    override func setUpWithError() throws {
        let path = NSTemporaryDirectory() + "dim-dist-law-" + UUID().uuidString
        folder = try World.ranks.broadcast(path, from: 0)
        try World.ranks.agree {
            if World.ranks.isFirst {
                try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
                let path = folder + "/train-images-idx3-ubyte"
                try images(side: size.side).write(to: URL(fileURLWithPath: path))
                try labels.write(to: URL(fileURLWithPath: folder + "/train-labels-idx1-ubyte"))
            }
        }
    }

    override func tearDownWithError() throws {
        try World.ranks.barrier()
        if World.ranks.isFirst { try FileManager.default.removeItem(atPath: folder) }
    }

    /// 96 square images, noise around one of four levels, as an IDX file.
    private func images(side: Int) -> Data {
        var bytes: [UInt8] = [0, 0, 8, 3, 0, 0, 0, 96, 0, 0, 0, UInt8(side), 0, 0, 0, UInt8(side)]
        for image in 0..<96 {
            var stream = RandomStream(seed: 5, purpose: .synthetic, sample: image)
            for _ in 0..<side * side { bytes.append(UInt8(40 * (image % 4) + stream.index(below: 100))) }
        }
        return Data(bytes)
    }

    /// Of the images, their levels.
    private var labels: Data { Data([0, 0, 8, 1, 0, 0, 0, 96] + (0..<96).map { UInt8($0 % 4) }) }

    func testEveryMethodObeysTheLaw() throws {
        for kind in MethodKind.allCases {
            XCTAssertEqual(kind.type.name, kind.rawValue)
            let rows = size.rows.filter { $0.kind == kind }
            XCTAssertFalse(rows.isEmpty, "\(kind.rawValue) has no row of settings in MethodSize")
            for row in rows { try check(kind.type, row) }
        }
    }

    // MARK: - One method

    private func configuration<M: Method>(
        _ row: MethodSize.Row, _ more: [String] = []
    ) throws -> Configuration<M> {
        let settings = try (size.common + row.settings + more).map { try JSONValue.setting(typed: $0) }
        return try Configuration(layers: settings + [.leaf("data.path", .string(folder))])
    }

    private func check<M: Method>(_ method: M.Type, _ row: MethodSize.Row) throws {
        let label = "\(M.name), \(row.name), \(World.label)"
        let name = "\(M.name)-\(row.name)"
        let plain: Configuration<M> = try configuration(row)
        try compareGradients(plain, label)
        let alone = try runAlone(plain, "\(name)-alone")
        XCTAssertGreaterThan(relativeDistance(alone.parameters, alone.start), size.leastMove, "\(label): hardly moved")

        try compare(try run(plain, "\(name)-split", World.ranks), alone, label)

        // Nodes of one and of two ranks, which sum over the network while backward runs.
        for largest in [1, 2] where World.ranks.worldSize > largest {
            World.ranks.largestNode = largest
            defer { World.ranks.largestNode = nil }
            try compare(
                try run(plain, "\(name)-nodes-\(largest)", World.ranks), alone, "\(label), nodes of \(largest)")
        }

        // One step on one rank, the others on all.
        if World.ranks.isFirst { _ = try run(plain, "\(name)-parts", SingleRank(), isStopped: true) }
        try World.ranks.barrier()
        try compare(try run(plain, "\(name)-parts", World.ranks), alone, "\(label), resumed")

        let microBatched: Configuration<M> = try configuration(row, size.microBatches)
        try compare(try run(microBatched, "\(name)-micro", World.ranks), alone, "\(label), in micro-batches")

        // So few samples that of three ranks one has none in some step.
        let few: Configuration<M> = try configuration(row, size.fewSamples)
        let fewAlone = try runAlone(few, "\(name)-few-alone")
        let split = try run(few, "\(name)-few", World.ranks)
        if World.ranks.worldSize >= 3 { XCTAssertTrue(split.hadEmptyRank, label) }
        // Batch norms over three rows multiply what rounding leaves.
        try compare(split, fewAlone, "\(label), few samples", losses: 1e-3, parameters: 1e-3)
    }

    // MARK: - In bfloat16

    /// A difference in the last bit of a sum turns a rounding here and there, by 0.4 % of a value, so ranks agree less
    /// closely than in float32: like one rank with itself where parameters start 1e-7 of themselves away.
    func testBFloat16KeepsTheLawAsFarAsItIsStable() throws {
        for kind in size.rounded {
            guard let row = size.rows.first(where: { $0.kind == kind }) else { continue }
            try checkRounded(kind.type, row)
        }
    }

    private func checkRounded<M: Method>(_ method: M.Type, _ row: MethodSize.Row) throws {
        let label = "\(M.name), \(row.name), bfloat16, \(World.label)"
        let name = "\(M.name)-\(row.name)-bfloat16"
        let rounded: Configuration<M> = try configuration(row, ["precision=bfloat16", "steps=50"])
        let first = try flat(gradients(rounded, SingleRank()))
        let alone = try runAlone(rounded, "\(name)-alone")
        let split = try run(rounded, "\(name)-split", World.ranks)
        let found = [relativeDistance(try flat(gradients(rounded, World.ranks)), first)] + distances(split, alone)
        // The largest effect of some perturbations; of more where the first few were all smaller than the ranks'.
        var bounds = [0.0, 0, 0, 0]
        for number in 0..<16 where number < 4 || zip(found, bounds).contains(where: { $0 > max(2 * $1, 1e-6) }) {
            let perturbed = try flat(gradients(rounded, SingleRank(), perturbation: number))
            let other = try runAlone(rounded, "\(name)-\(number)", perturbation: number)
            bounds = zip(bounds, [relativeDistance(perturbed, first)] + distances(other, alone)).map(max)
        }
        for (what, (distance, bound)) in zip(["gradients", "losses", "parameters", "states"], zip(found, bounds)) {
            // Roundings may hide the perturbation. What float32 sums leave stays.
            XCTAssertLessThanOrEqual(distance, max(2 * bound, 1e-6), "\(what), \(label)")
        }
        // It is another arithmetic: not what float32 gives.
        let float: Configuration<M> = try configuration(row, ["steps=50"])
        let exact = try runAlone(float, "\(name)-float32")
        XCTAssertGreaterThan(relativeDistance(alone.parameters, exact.parameters), 1e-5, label)
        XCTAssertLessThan(relativeDistance(alone.parameters, exact.parameters), 0.1, label)
    }

    /// Nodes that exchange gradients in bfloat16 end elsewhere than in float32, but by little of what they moved. They
    /// all end at the same place, each time.
    func testExchangeInBFloat16MovesAlmostTheSame() throws {
        guard World.ranks.worldSize > 1 else { return }
        World.ranks.largestNode = 1
        defer { World.ranks.largestNode = nil }
        for row in size.rows where size.rows.first(where: { $0.kind == row.kind })?.name == row.name {
            try checkExchange(row.kind.type, row)
        }
    }

    private func checkExchange<M: Method>(_ method: M.Type, _ row: MethodSize.Row) throws {
        let label = "\(M.name), \(row.name), \(World.label)"
        let (plain, changed): (Configuration<M>, Configuration<M>) = (
            try configuration(row), try configuration(row, ["exchange=bfloat16"])
        )
        let exact = try run(plain, "\(M.name)-exchange-float32", World.ranks)
        let rounded = try run(changed, "\(M.name)-exchange-bfloat16", World.ranks)
        let again = try run(changed, "\(M.name)-exchange-again", World.ranks)
        let moved = relativeDistance(exact.parameters, exact.start)
        let apart = relativeDistance(rounded.parameters, exact.parameters) / moved
        XCTAssertGreaterThan(apart, 1e-4, label)
        XCTAssertLessThan(apart, 0.1, label)
        XCTAssertTrue(again.parameters == rounded.parameters && again.losses == rounded.losses, label)
        var largest = rounded.parameters
        try largest.withUnsafeMutableBufferPointer { try World.ranks.maximum($0) }
        XCTAssertTrue(largest == rounded.parameters, label)
    }

    private func flat(_ gradients: [String: [Float]]) -> [Float] {
        gradients.sorted { $0.key < $1.key }.flatMap(\.value)
    }

    /// Relative distances of losses, parameters and running statistics.
    private func distances(_ found: Outcome, _ expected: Outcome) -> [Double] {
        [
            relativeDistance(found.losses.map { Float($0) }, expected.losses.map { Float($0) }),
            relativeDistance(found.parameters, expected.parameters), relativeDistance(found.states, expected.states),
        ]
    }

    /// Moves numbers by up to 1e-7 of themselves.
    private func perturb(_ tensors: [Tensor], by number: Int) {
        var stream = RandomStream(seed: 11, purpose: .synthetic, sample: number)
        for tensor in tensors {
            for i in 0..<tensor.count where stream.index(below: 2) == 0 { tensor.base[i] *= 1 + 1.2e-7 }
        }
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
    /// - Parameter isStopped: whether it stops after its first step.
    private func run<M: Method>(
        _ configuration: Configuration<M>, _ name: String, _ ranks: any Ranks, isStopped: Bool = false,
        perturbation: Int? = nil
    ) throws -> Outcome {
        let output = "\(folder)/\(name)"
        let device = try Device(precision: configuration.precision)
        let run = try TrainingRun(configuration, output: output, resume: true, device: device, ranks: ranks)
        if let perturbation { perturb(run.model.store.groups.map(\.parameters.values), by: perturbation) }
        var outcome = Outcome(start: run.model.store.groups.flatMap(\.parameters.values.array))
        let stop = StopRequest(signals: isStopped ? [SIGUSR2] : [])
        if isStopped { pthread_kill(pthread_self(), SIGUSR2) }  // this thread blocks it, so it is there at once
        XCTAssertEqual(stop.isMade, isStopped)
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

    /// A run of rank 0, whose result the others get.
    private func runAlone<M: Method>(
        _ configuration: Configuration<M>, _ name: String, perturbation: Int? = nil
    ) throws -> Outcome {
        let ranks = World.ranks
        var outcome = try ranks.agree {
            ranks.isFirst ? try run(configuration, name, SingleRank(), perturbation: perturbation) : Outcome()
        }
        outcome.losses = try ranks.gather(outcome.losses, filler: 0)
        outcome.start = try ranks.gather(outcome.start, filler: 0)
        outcome.parameters = try ranks.gather(outcome.parameters, filler: 0)
        outcome.states = try ranks.gather(outcome.states, filler: 0)
        return outcome
    }

    private func compare(
        _ found: Outcome, _ expected: Outcome, _ label: String, losses: Double? = nil, parameters: Double = 1e-4
    ) throws {
        let tolerance = losses ?? size.lossTolerance
        XCTAssertEqual(found.losses.count, expected.losses.count, label)
        for (a, b) in zip(found.losses, expected.losses) {
            XCTAssertEqual(a, b, accuracy: tolerance * max(abs(b), 0.1), label)
        }
        XCTAssertLessThan(relativeDistance(found.parameters, expected.parameters), parameters, "parameters, \(label)")
        XCTAssertLessThan(relativeDistance(found.states, expected.states), parameters, "states, \(label)")
    }

    /// The gradients of each pass of the first step, and whether only players have some.
    ///
    /// A rectifier that rounding turns over moves gradients by up to a hundredth. It does in one draw; a fault does in
    /// all.
    private func compareGradients<M: Method>(_ configuration: Configuration<M>, _ label: String) throws {
        var configuration = configuration
        var far = try distances(configuration, label)
        for _ in 1..<size.draws where try World.ranks.sum([far.count])[0] > 0 {
            configuration.seed += 1
            let next = try distances(configuration, label)
            far = far.filter { next[$0.key] != nil }
        }
        for (name, distance) in far { XCTFail("gradient of \(name): \(distance) off, \(label)") }
    }

    /// How far gradients are from those of one rank, where that is more than a thousandth.
    private func distances<M: Method>(
        _ configuration: Configuration<M>, _ label: String
    ) throws -> [String: Double] {
        let split = try gradients(configuration, World.ranks)
        let alone = try gradients(configuration, SingleRank())
        XCTAssertEqual(split.keys.sorted(), alone.keys.sorted(), label)
        let largest = alone.values.flatMap { $0 }.map(abs).max() ?? 0
        XCTAssertGreaterThan(largest, 0, label)
        var result: [String: Double] = [:]
        for (name, expected) in alone {
            // A gradient that is 0 but for rounding can't be compared by its own size.
            let norm = expected.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
            guard norm > 1e-5 * Double(largest) else { continue }
            let distance = relativeDistance(split[name] ?? [], expected)
            if !(distance < 1e-3) { result[name] = distance }
        }
        return result
    }

    /// By the index of the pass and the name of the parameter, summed over ranks.
    private func gradients<M: Method>(
        _ configuration: Configuration<M>, _ ranks: any Ranks, perturbation: Int? = nil
    ) throws -> [String: [Float]] {
        let device = try Device(precision: configuration.precision)
        let data = try M.Source(
            configuration.data, try M.recipe(configuration.method, configuration.data), batch: configuration.batch,
            seed: configuration.seed, ranks: ranks)
        let model = try Model(configuration, card: data.card, device: device)
        if let perturbation { perturb(model.store.groups.map(\.parameters.values), by: perturbation) }
        var result: [String: [Float]] = [:]
        for scheduled in ScheduledPass.all(of: model.method.turns(at: 0)) {
            let batch = try data.batch(scheduled.draw, device: device)
            let pass = Pass(
                scheduled.turn, step: 0, index: scheduled.index, seed: configuration.seed, device: device, ranks: ranks,
                shares: batch.shares)
            try pass.backward(try model.method.terms(pass, batch))
            for parameter in scheduled.turn.players.flatMap(\.parameters.parameters) {
                var gradient = parameter.gradient.array
                try gradient.withUnsafeMutableBufferPointer { try ranks.sum($0) }
                result["\(scheduled.index) \(parameter.name)"] = gradient
            }
        }
        return result
    }
}
