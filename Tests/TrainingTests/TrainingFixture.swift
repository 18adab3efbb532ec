import Collectives
import Datasets
import Foundation
import Layers
import Methods
import Tensors
import Testing

@testable import Training

// The method of most tests here.
typealias Configuration = Training.Configuration<DeepInfoMax>
typealias Model = Training.Model<DeepInfoMax>
typealias TrainingRun = Training.TrainingRun<DeepInfoMax>

/// A new folder that goes with the test that made it.
final class TemporaryFolder: Sendable {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "dim-dist-training-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func write(_ name: String, _ text: String) throws {
        try Data(text.utf8).write(to: URL(fileURLWithPath: path + "/" + name))
    }

    func read(_ name: String) throws -> String { try String(contentsOfFile: path + "/" + name, encoding: .utf8) }
}

/// Expects an `InputError` of one line that holds every one of the texts.
func expectInputError<Result>(
    _ texts: String..., sourceLocation: SourceLocation = #_sourceLocation, from work: () throws -> Result
) {
    do {
        _ = try work()
        Issue.record("no error, expected one with \(texts)", sourceLocation: sourceLocation)
    } catch let error as InputError {
        for text in texts {
            #expect(error.description.contains(text), "\(error)", sourceLocation: sourceLocation)
        }
        #expect(!error.description.contains("\n"), sourceLocation: sourceLocation)
    } catch {
        Issue.record("\(error) is no InputError", sourceLocation: sourceLocation)
    }
}

/// Whether two arrays hold the same bits, NaNs and signs of zeros included.
func isSameBits(_ a: UnsafeMutableBufferPointer<Float>, _ b: UnsafeMutableBufferPointer<Float>) -> Bool {
    guard a.count == b.count else { return false }
    guard let first = a.baseAddress, let second = b.baseAddress else { return true }
    return memcmp(first, second, a.count * 4) == 0
}

// MARK: - Runs

/// Writes 96 images of 28x28, noise around one of four levels, as an IDX file, and returns its path.
func writeImages(to folder: TemporaryFolder) throws -> String {
    var bytes: [UInt8] = [0, 0, 8, 3, 0, 0, 0, 96, 0, 0, 0, 28, 0, 0, 0, 28]
    for image in 0..<96 {
        var stream = RandomStream(seed: 5, purpose: .synthetic, sample: image)
        for _ in 0..<28 * 28 { bytes.append(UInt8(40 * (image % 4) + stream.index(below: 100))) }
    }
    let path = folder.path + "/images"
    try Data(bytes).write(to: URL(fileURLWithPath: path))
    return path
}

/// A run of 4 steps an epoch whose parameters move far in a few steps. Adam's epsilon is above its default: without
/// it a gradient of nothing but rounding moves a parameter by a whole step.
func makeConfiguration(data: String, steps: Int, _ more: [String: JSONValue] = [:]) throws -> Configuration {
    var settings: [String: JSONValue] = [
        "data.path": .string(data), "steps": .integer(steps), "batch": .integer(24), "critic.units": .integer(16),
        "data.virtualShards": .integer(8), "optimiser.rate": .number(1e-3), "optimiser.warmupSteps": .integer(0),
        "optimiser.epsilon": .number(1e-5),
    ]
    // The automatic encoder with 64 units for 1024, for most of a test's time would go into files of 7 million numbers.
    if !more.keys.contains(where: { $0.hasPrefix("encoder.") }) {
        func block(_ channels: Int) -> JSONValue {
            .object([
                "channels": .integer(channels), "kernel": .integer(4), "stride": .integer(2), "padding": .integer(1),
            ])
        }
        settings["encoder.kind"] = .string("convolutional")
        settings["encoder.blocks"] = .array([block(64), block(128)])
        settings["encoder.local"] = .integer(1)
        settings["encoder.fullyConnected"] = .array([.integer(64)])
    }
    settings.merge(more) { $1 }
    return try Configuration(layers: settings.map { JSONValue.leaf($0.key, $0.value) })
}

/// The state of a rank at the end of its run.
struct RankResult: Sendable {
    let outcome: TrainingRun.Outcome
    let parameters: [Float]
    let states: [[Float]]
}

/// Trains on threads as ranks. `prepare` may change the model before the first step.
func train(
    _ configuration: Configuration, output: String, worldSize: Int, resume: Bool = false,
    stop: @escaping @Sendable (any Ranks) -> StopRequest = { _ in StopRequest(signals: []) },
    prepare: @escaping @Sendable (TrainingRun, any Ranks) -> Void = { _, _ in }
) throws -> [RankResult] {
    try onRanks(worldSize) { ranks in
        let run = try TrainingRun(
            configuration, output: output, resume: resume, device: Device(), ranks: ranks)
        prepare(run, ranks)
        let outcome = try run.train(stop: stop(ranks), isTerminal: false)
        return RankResult(
            outcome: outcome, parameters: run.model.parameters,
            states: run.model.store.states.map(\.values))
    }
}

extension Training.Model {
    /// All values, group by group.
    var parameters: [Float] { store.groups.flatMap(\.parameters.values.array) }
}

/// The results of each rank's body, in rank order.
func onRanks<Result: Sendable>(
    _ worldSize: Int, _ body: @escaping @Sendable (any Ranks) throws -> Result
) throws -> [Result] {
    try ThreadRank.run(worldSize, body)
}

/// A line of a run's `metrics.jsonl`.
struct MetricLine: Decodable {
    let step: Int, epoch: Int
    let loss: Double?
    let terms: [String: Double]
}

/// The lines of a run's `metrics.jsonl`.
func metrics(of run: String) throws -> [MetricLine] {
    try String(contentsOfFile: run + "/metrics.jsonl", encoding: .utf8).split(separator: "\n").map {
        try JSONDecoder().decode(MetricLine.self, from: Data($0.utf8))
    }
}

/// |a - b| / |b|, in the Euclidean norm.
func relativeDistance(_ a: [Float], _ b: [Float]) -> Double {
    guard a.count == b.count else { return .infinity }
    var (difference, norm) = (0.0, 0.0)
    for i in a.indices {
        let (x, y) = (Double(a[i]), Double(b[i]))
        difference += (x - y) * (x - y)
        norm += y * y
    }
    return (difference / norm).squareRoot()
}
