import Collectives
import Foundation
import XCTest

@testable import Training

/// Checkpoints that ranks write together while they train.
final class CheckpointWriterTests: XCTestCase {
    private var folder: TemporaryFolder!
    private var images = ""

    override func setUpWithError() throws {
        folder = try TemporaryFolder()
        images = try writeImages(to: folder)
    }

    override func tearDown() { folder = nil }

    private func contents(_ path: String) throws -> Data {
        try Data(contentsOf: URL(fileURLWithPath: folder.path + "/" + path))
    }

    /// The files are the same bytes from any number of ranks, when the model is.
    func testEachRankWritesItsOwnPart() throws {
        let configuration = try makeConfiguration(
            data: images, steps: 0, ["objective.prior.weight": .number(0.1), "seed": .integer(4)])
        for worldSize in 1...4 {
            _ = try train(configuration, output: folder.path + "/\(worldSize)", worldSize: worldSize)
            for file in ["model.safetensors", "optimiser.safetensors", "manifest.json"] {
                XCTAssertEqual(
                    try contents("\(worldSize)/checkpoints/step-00000000/\(file)"),
                    try contents("1/checkpoints/step-00000000/\(file)"), "\(file) of \(worldSize) ranks")
            }
        }
    }

    /// The checkpoint holds the state at its start, even if training changes it meanwhile.
    func testACheckpointIsOfOneMoment() throws {
        let configuration = try makeConfiguration(data: images, steps: 6, ["checkpoint.every": .integer(2)])
        _ = try train(configuration, output: folder.path + "/run", worldSize: 3)
        let short = try makeConfiguration(data: images, steps: 4)
        _ = try train(short, output: folder.path + "/short", worldSize: 3)
        let folder = "checkpoints/step-00000004"
        for file in ["model.safetensors", "optimiser.safetensors"] {
            XCTAssertEqual(try contents("run/\(folder)/\(file)"), try contents("short/\(folder)/\(file)"), file)
        }
    }

    /// The folder for checkpoints can't take files for a while: a file stands in its way.
    func testACheckpointThatCannotBeWrittenCostsNothingElse() throws {
        let configuration = try makeConfiguration(data: images, steps: 6)
        let expected = try train(configuration, output: folder.path + "/expected", worldSize: 2)
        let often = try makeConfiguration(data: images, steps: 6, ["checkpoint.every": .integer(1)])
        let path = folder.path + "/run"
        let results = try onRanks(2) { ranks in
            let run = try TrainingRun(often, output: path, resume: false, device: .init(), ranks: ranks)
            if ranks.isFirst {
                try FileManager.default.removeItem(atPath: path + "/checkpoints")
                try Data().write(to: URL(fileURLWithPath: path + "/checkpoints"))
                let metrics = path + "/metrics.jsonl"
                Thread.detachNewThread {  // makes room after the second step
                    while (FileManager.default.contents(atPath: metrics) ?? .init()).count(where: { $0 == 10 }) < 2 {
                        usleep(500)
                    }
                    try? FileManager.default.removeItem(atPath: path + "/checkpoints")
                }
            }
            try ranks.barrier()
            _ = try run.train(stop: StopRequest(signals: []), isTerminal: false)
            return run.model.parameters
        }
        XCTAssertTrue(results[0] == expected[0].parameters)
        XCTAssertEqual(try metrics(of: path).map(\.step), [1, 2, 3, 4, 5, 6])
        let steps = try CheckpointStore(run: path).steps
        XCTAssertEqual(steps.last, 6)
        XCTAssertFalse(steps.contains(1), "\(steps)")
        XCTAssertNotNil(try CheckpointStore(run: path).load(6))
    }

    /// The last checkpoint can't be retried: the run has failed, or is interrupted with that problem.
    func testALastCheckpointThatCannotBeWrittenIsTold() throws {
        for isStopped in [false, true] {
            let configuration = try makeConfiguration(data: images, steps: 3)
            let path = folder.path + "/run \(isStopped)"
            let outcomes = try onRanks(2) { ranks in
                let run = try TrainingRun(configuration, output: path, resume: false, device: .init(), ranks: ranks)
                if ranks.isFirst {
                    try FileManager.default.removeItem(atPath: path + "/checkpoints")
                    try Data().write(to: URL(fileURLWithPath: path + "/checkpoints"))
                    if isStopped { try Data().write(to: URL(fileURLWithPath: path + "/STOP")) }
                }
                try ranks.barrier()
                do {
                    guard
                        case .interrupted(1, let problem?) = try run.train(
                            stop: StopRequest(signals: []), isTerminal: false)
                    else { return "no problem" }
                    return problem
                } catch let error as AgreedError { return error.description }
            }
            for outcome in outcomes {
                XCTAssertTrue(outcome.contains("checkpoint of step \(isStopped ? 1 : 3) can't be written"), outcome)
                XCTAssertTrue(outcome.contains("\(path)/checkpoints"), outcome)
            }
            XCTAssertFalse(FileManager.default.fileExists(atPath: path + "/STOP"))
        }
    }
}
