import Autodiff
import Collectives
import Datasets
import Foundation
import Layers
import Methods
import Tensors
import XCTest

@testable import Training

/// Whole runs on threads as ranks. The law: nothing but rounding depends on how many there are.
final class TrainingRunTests: XCTestCase {
    /// Of the global loss, in nats, and of all parameters and states, in relative norm.
    private let lossTolerance = 1e-4
    private let parameterTolerance = 1e-4

    private var folder: TemporaryFolder!
    private var images = ""

    override func setUpWithError() throws {
        folder = try TemporaryFolder()
        images = try writeImages(to: folder)
    }

    override func tearDown() { folder = nil }

    private func output(_ name: String) -> String { folder.path + "/" + name }

    private func losses(_ name: String) throws -> [Double] {
        try metrics(of: output(name)).map { try XCTUnwrap($0.loss) }
    }

    private func initialParameters(_ configuration: Configuration) throws -> [Float] {
        try onRanks(1) { [output = output(UUID().uuidString)] ranks in
            try TrainingRun(configuration, output: output, resume: false, device: Device(), ranks: ranks).model
                .parameters
        }[0]
    }

    /// All ranks hold the same bits.
    private func assertAgree(_ results: [RankResult], line: UInt = #line) {
        for result in results {
            XCTAssertTrue(result.parameters == results[0].parameters, "parameters differ by rank", line: line)
            XCTAssertTrue(result.states == results[0].states, "states differ by rank", line: line)
            XCTAssertEqual(result.outcome, results[0].outcome, line: line)
        }
    }

    private func assertClose(
        _ found: (losses: [Double], result: RankResult), _ expected: (losses: [Double], result: RankResult),
        _ label: String, line: UInt = #line
    ) {
        XCTAssertEqual(found.losses.count, expected.losses.count, label, line: line)
        for (step, (a, b)) in zip(found.losses, expected.losses).enumerated() {
            XCTAssertEqual(a, b, accuracy: lossTolerance, "\(label), step \(step + 1)", line: line)
        }
        let distance = relativeDistance(found.result.parameters, expected.result.parameters)
        XCTAssertLessThan(distance, parameterTolerance, "parameters, \(label)", line: line)
        let states = relativeDistance(found.result.states.flatMap { $0 }, expected.result.states.flatMap { $0 })
        XCTAssertLessThan(states, parameterTolerance, "states, \(label)", line: line)
    }

    func testResultsDoNotDependOnTheNumberOfRanks() throws {
        for more in [
            [:], ["objective.anchor": .string("local")], ["objective.estimator": .string("jensenShannon")],
        ] as [[String: JSONValue]] {
            let configuration = try makeConfiguration(data: images, steps: 6, more)
            var alone: (losses: [Double], result: RankResult)?
            for worldSize in 1...3 {
                let name = "\(worldSize) \(more)"
                let results = try train(configuration, output: output(name), worldSize: worldSize)
                XCTAssertEqual(results.count, worldSize)
                assertAgree(results)
                let found = (try losses(name), results[0])
                if let alone { assertClose(found, alone, "\(worldSize) ranks \(more)") } else { alone = found }
                XCTAssertEqual(found.0.count, 6)
                XCTAssertGreaterThan(Set(found.0).count, 1)
            }
            // The run went somewhere, or the comparison would say nothing.
            let start = try initialParameters(configuration)
            XCTAssertGreaterThan(relativeDistance(try XCTUnwrap(alone).result.parameters, start), 0.02)
        }
    }

    /// Four images a batch over five and eight ranks: somebody has none in every step.
    func testRanksWithoutImagesTakePart() throws {
        let configuration = try makeConfiguration(data: images, steps: 4, ["batch": .integer(4)])
        var alone: (losses: [Double], result: RankResult)?
        for worldSize in [1, 5, 8] {
            let results = try train(configuration, output: output("\(worldSize)"), worldSize: worldSize)
            assertAgree(results)
            let found = (try losses("\(worldSize)"), results[0])
            if let alone { assertClose(found, alone, "\(worldSize) ranks") } else { alone = found }
        }
    }

    func testOneNumberOfRanksGivesTheSameBits() throws {
        for worldSize in [1, 3] {
            let configuration = try makeConfiguration(data: images, steps: 3)
            let names = ["first \(worldSize)", "second \(worldSize)"]
            let results = try names.map { try train(configuration, output: output($0), worldSize: worldSize)[0] }
            XCTAssertTrue(results[0].parameters == results[1].parameters)
            XCTAssertTrue(results[0].states == results[1].states)
            XCTAssertEqual(try losses(names[0]), try losses(names[1]))
        }
    }

    /// The sums of past gradients are in the checkpoint, whole.
    func testMomentumGoesOnInTheSameBits() throws {
        for (kind, worldSize) in [("sgd", 1), ("lars", 2)] {
            func configuration(_ steps: Int) throws -> Configuration {
                try makeConfiguration(
                    data: images, steps: steps,
                    [
                        "optimiser.kind": .string(kind), "optimiser.epsilon": .number(1e-8),
                        "optimiser.rate": .number(0.1),
                        "optimiser.nesterov": .boolean(true), "optimiser.weightDecay": .number(1e-3),
                    ])
            }
            let names = ["\(kind) whole", "\(kind) parts"]
            let whole = try train(configuration(4), output: output(names[0]), worldSize: worldSize)[0]
            _ = try train(configuration(2), output: output(names[1]), worldSize: worldSize)
            let parts = try train(configuration(4), output: output(names[1]), worldSize: worldSize, resume: true)[0]
            XCTAssertTrue(parts.parameters == whole.parameters, kind)
            XCTAssertTrue(parts.states == whole.states, kind)
            XCTAssertEqual(try losses(names[1]), try losses(names[0]), kind)
            XCTAssertFalse(whole.parameters == (try initialParameters(configuration(4))), kind)
        }
    }

    func testARunGoesOnFromFourRanksToOneToThree() throws {
        let expected = try train(makeConfiguration(data: images, steps: 6), output: output("whole"), worldSize: 4)
        var results: [RankResult] = []
        for (steps, worldSize) in [(2, 4), (4, 1), (6, 3)] {
            let part = try makeConfiguration(data: images, steps: steps)
            results = try train(part, output: output("parts"), worldSize: worldSize, resume: true)
        }
        assertClose((try losses("parts"), results[0]), (try losses("whole"), expected[0]), "4, 1, 3 ranks")
    }

    func testARunGoesOnWithAnotherNumberOfRanks() throws {
        let expected = try train(makeConfiguration(data: images, steps: 8), output: output("whole"), worldSize: 1)
        let short = try makeConfiguration(data: images, steps: 4)
        _ = try train(short, output: output("parts"), worldSize: 2)
        let long = try makeConfiguration(data: images, steps: 8)
        let results = try train(long, output: output("parts"), worldSize: 3, resume: true)
        assertAgree(results)
        assertClose((try losses("parts"), results[0]), (try losses("whole"), expected[0]), "4 at 2, 8 at 3")
        XCTAssertEqual(try metrics(of: output("parts")).map(\.step), Array(1...8))
        XCTAssertEqual(try metrics(of: output("parts")).map(\.epoch), [0, 0, 0, 0, 1, 1, 1, 1])
        XCTAssertEqual(try CheckpointStore(run: output("parts")).steps, [4, 8])
    }

    func testADamagedCheckpointCostsOnlyTheStepsBehindIt() throws {
        let configuration = try makeConfiguration(
            data: images, steps: 4,
            [
                "checkpoint.every": .integer(2), "objective.prior.weight": .number(0.1),
                "objective.occlusion": .integer(9),
            ])
        let expected = try train(configuration, output: output("run"), worldSize: 2)
        let before = try losses("run")
        let path = output("run") + "/checkpoints/step-00000004/model.safetensors"
        XCTAssertEqual(truncate(path, 1_000_000), 0)
        let results = try train(configuration, output: output("run"), worldSize: 2, resume: true)
        XCTAssertTrue(results[0].parameters == expected[0].parameters)
        XCTAssertEqual(try losses("run"), before)
        XCTAssertEqual(try metrics(of: output("run")).map(\.step), [1, 2, 3, 4])
    }

    /// A checkpoint has lost its manifest, which is what makes it one.
    func testAnExistingRunWithoutAWholeCheckpointIsNotOverwritten() throws {
        let configuration = try makeConfiguration(data: images, steps: 1)
        _ = try train(configuration, output: output("run"), worldSize: 2)
        try FileManager.default.removeItem(atPath: output("run") + "/checkpoints/step-00000001/manifest.json")
        for resume in [false, true] {
            XCTAssertThrowsError(
                try train(configuration, output: output("run"), worldSize: 2, resume: resume)
            ) { XCTAssertTrue("\($0)".contains("step-00000001 has no manifest, and there is no other"), "\($0)") }
        }
    }

    func testAnExistingRunIsNotOverwritten() throws {
        let configuration = try makeConfiguration(data: images, steps: 1)
        _ = try train(configuration, output: output("run"), worldSize: 1)
        let before = try folder.read("run/metrics.jsonl")
        for worldSize in [1, 2] {
            XCTAssertThrowsError(try train(configuration, output: output("run"), worldSize: worldSize)) { error in
                let error = error as? AgreedError
                XCTAssertEqual(error?.status, .badInput)
                XCTAssertTrue(error?.description.contains("--resume") == true, "\(String(describing: error))")
            }
        }
        XCTAssertEqual(try folder.read("run/metrics.jsonl"), before)
    }

    func testNoStepsWriteTheUntrainedModel() throws {
        let configuration = try makeConfiguration(data: images, steps: 0)
        let result = try train(configuration, output: output("run"), worldSize: 2)[0]
        XCTAssertEqual(result.outcome, .finished)
        XCTAssertTrue(result.parameters == (try initialParameters(configuration)))
        let store = CheckpointStore(run: output("run"))
        XCTAssertEqual(try store.steps, [0])
        let restored = try onRanks(1) { _ in
            let checkpoint = try XCTUnwrap(try store.newest { XCTFail($0) })
            var other = configuration
            other.seed = 99
            let model = try Model(other, card: checkpoint.card(), device: Device())
            try checkpoint.restore(model.store)
            return model.parameters
        }[0]
        XCTAssertTrue(restored == result.parameters)
        let more = try makeConfiguration(data: images, steps: 1)
        _ = try train(more, output: output("run"), worldSize: 1, resume: true)
        XCTAssertEqual(try store.steps, [0, 1])
    }

    func testARunThatEndsAstrayFails() throws {
        let configuration = try makeConfiguration(data: images, steps: 3, ["optimiser.rate": .number(1e30)])
        XCTAssertThrowsError(try train(configuration, output: output("run"), worldSize: 2)) {
            XCTAssertTrue("\($0)".contains("last 2 steps had no finite loss"), "\($0)")
            XCTAssertEqual(($0 as? AgreedError)?.status, .badInput)  // not to be tried again by itself
        }
        XCTAssertEqual(try CheckpointStore(run: output("run")).steps, [])
    }

    /// A stale settings file on one host.
    func testRanksWithOtherSettingsAreRefused() throws {
        let (images, run) = (images, output("run"))
        let messages = try onRanks(3) { ranks in
            let configuration = try makeConfiguration(
                data: images, steps: 2, ["seed": .integer(ranks.rank == 2 ? 8 : 7)])
            do {
                _ = try TrainingRun(
                    configuration, output: run, resume: false, device: Device(), ranks: ranks)
                return ""
            } catch { return "\(error)" }
        }
        for message in messages {
            XCTAssertTrue(message.contains("rank 2 has other settings than rank 0"), message)
        }
    }

    /// A parameter becomes NaN, before and after a rectifier, which hides a NaN from the loss.
    func testStepsThatAreNotFiniteAreSkippedAndEndTheRun() throws {
        for name in ["encoder.conv1.weight", "encoder.code.bias", "critic.local.first.weight"] {
            let configuration = try makeConfiguration(data: images, steps: 40)
            let run = output(name)
            let outcomes = try onRanks(2) { ranks in
                let run = try TrainingRun(configuration, output: run, resume: false, device: Device(), ranks: ranks)
                let parameter = run.model.store.parameters.first { $0.name == name }
                if ranks.rank == 1 { try XCTUnwrap(parameter).value.base[0] = .nan }
                try ranks.barrier()  // parameters are one memory for both
                let before = run.model.parameters.map(\.bitPattern)
                let states = run.model.store.states.map(\.values)
                var message = ""
                do { _ = try run.train(stop: StopRequest(signals: []), isTerminal: false) } catch {
                    message = "\(error)"
                }
                XCTAssertTrue(run.model.parameters.map(\.bitPattern) == before)
                XCTAssertEqual(run.model.store.states.map(\.values), states)
                return message
            }
            for message in outcomes {
                XCTAssertTrue(message.contains("10 steps in a row, up to step 10"), "\(name): \(message)")
            }
            XCTAssertEqual(try CheckpointStore(run: run).steps, [])
            try assertBatchIsKept(of: run, configuration: configuration)
        }
    }

    /// The first step's images of both ranks, and which they are.
    private func assertBatchIsKept(of run: String, configuration: Configuration) throws {
        struct Description: Decodable {
            let step: Int, rank: Int
            let images: [Int], broken: [Int]
        }
        let prefix = run + "/nonfinite/step-1/rank-"
        let found = try (0..<2).map { rank in
            try JSONDecoder().decode(
                Description.self, from: Data(contentsOf: URL(fileURLWithPath: "\(prefix)\(rank).json")))
        }
        XCTAssertEqual(found.map(\.step), [1, 1])
        XCTAssertEqual(found.map(\.rank), [0, 1])
        XCTAssertEqual(found.map(\.broken), [[], []])
        let expected = try onRanks(2) { ranks in
            let data = try ViewSource(
                configuration.data, ViewRecipe([configuration.data.augmentation]), batch: configuration.batch,
                seed: configuration.seed, ranks: ranks)
            let batch = try data.batch(0, device: Device())
            return (batch.samples, batch.images.array)
        }
        for rank in 0..<2 {
            XCTAssertEqual(found[rank].images, expected[rank].0)
            let array = try NumPyArray(path: "\(prefix)\(rank).npy")
            XCTAssertEqual(array.shape, [expected[rank].0.count, 28, 28, 1])
            XCTAssertEqual(try array.read(rows: 0..<array.rows), expected[rank].1)
        }
        XCTAssertEqual(try FileManager.default.contentsOfDirectory(atPath: run + "/nonfinite"), ["step-1"])
    }

    func testAStopOnOneRankStopsAllBehindTheSameStep() throws {
        let configuration = try makeConfiguration(data: images, steps: 40)
        let results = try train(
            configuration, output: output("run"), worldSize: 3,
            stop: { ranks in
                guard ranks.rank == 1 else { return StopRequest(signals: []) }
                let request = StopRequest(signals: [SIGUSR2])
                pthread_kill(pthread_self(), SIGUSR2)  // this thread blocks it, so it is there at once
                XCTAssertTrue(request.isMade)
                return request
            })
        assertAgree(results)
        XCTAssertEqual(results[0].outcome, .interrupted(step: 1, problem: nil))
        XCTAssertEqual(try CheckpointStore(run: output("run")).steps, [1])
    }

    /// A handler that ran in the midst of one of oneDNN's kernels would overwrite what that keeps beyond the stack.
    func testSignalsDoNotDisturbTheKernels() throws {
        let configuration = try makeConfiguration(data: images, steps: 1)
        let expected = try train(configuration, output: output("quiet"), worldSize: 1)[0]
        let parameters = try onRanks(1) { [output = output("disturbed")] ranks in
            let run = try TrainingRun(configuration, output: output, resume: false, device: Device(), ranks: ranks)
            let stop = StopRequest(signals: [SIGUSR2])
            let target = pthread_self()
            let (isOver, hasEnded) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
            Thread.detachNewThread {
                while isOver.wait(timeout: .now() + .microseconds(50)) == .timedOut { pthread_kill(target, SIGUSR2) }
                hasEnded.signal()
            }
            defer {
                isOver.signal()
                hasEnded.wait()
            }
            _ = try run.train(stop: stop, isTerminal: false)
            XCTAssertTrue(stop.isMade)
            return run.model.parameters
        }[0]
        XCTAssertTrue(parameters == expected.parameters)
    }

    func testMemoryIsReusedFromStepToStep() throws {
        for worldSize in [1, 2] {
            let configuration = try makeConfiguration(data: images, steps: 1)
            let output = output("\(worldSize)")
            let allocations = try onRanks(worldSize) { ranks in
                let device = try Device()
                let run = try TrainingRun(configuration, output: output, resume: false, device: device, ranks: ranks)
                let turn = run.model.method.turns(at: 0)[0]
                return try (0..<12).map { step in
                    let batch = run.data.batch(step, device: device)
                    let pass = Pass(turn, step: step, seed: 0, device: device, ranks: ranks, shares: batch.shares)
                    try pass.backward(try run.model.method.terms(pass, batch))
                    return device.memory.systemAllocations
                }
            }
            for counts in allocations {
                XCTAssertGreaterThan(counts[0], 10)
                XCTAssertEqual(Set(counts[4...]).count, 1, "\(worldSize) ranks: \(counts)")
            }
        }
    }
}
