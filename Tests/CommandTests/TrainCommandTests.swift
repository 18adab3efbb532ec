import Foundation
import XCTest

final class TrainCommandTests: CommandTestCase {
    override func setUpWithError() throws {
        try super.setUpWithError()
        try writeData()
    }

    private func json(_ name: String) throws -> [String: Any] {
        let data = try Data(contentsOf: URL(fileURLWithPath: path(name)))
        return try XCTUnwrap(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    }

    func testARunDirectoryHoldsWhatOneNeeds() throws {
        try "{ seed: 3, critic: { units: 99 }, checkpoint: { every: 2, keep: 2 }, /* comment */ }".write(
            toFile: path("run.json5"), atomically: true, encoding: .utf8)
        let output = try succeed(trainArguments("run", steps: 5, ["--config", path("run.json5")] + Self.threads(3)))
        for text in ["96 images of 28x28x1", "infoNCE", "3 ranks", "negatives from 23 images", path("run")] {
            XCTAssertTrue(output.contains(text), "\(text): \(output)")
        }

        // Typed settings override the file, and the file overrides the defaults.
        let config = try json("run/config.json")
        XCTAssertEqual(config["seed"] as? Int, 3)
        XCTAssertEqual(config["steps"] as? Int, 5)
        XCTAssertEqual(config["batch"] as? Int, 24)
        XCTAssertEqual((config["critic"] as? [String: Any])?["units"] as? Int, 16)
        XCTAssertEqual((config["data"] as? [String: Any])?["path"] as? String, path("data"))
        XCTAssertEqual((config["optimiser"] as? [String: Any])?["beta2"] as? Double, 0.999)

        let lines = try metrics("run")
        XCTAssertEqual(lines.map { $0["step"] as? Int }, [1, 2, 3, 4, 5])
        for line in lines {
            for key in ["epoch", "loss", "images_per_second", "seconds", "mutual_information", "rate"] {
                XCTAssertNotNil(line[key] as? Double, key)
            }
            // 1 + 23 other images of 7x7 locations; the bound is ln of that less the loss.
            let (loss, bound) = (line["loss"] as? Double ?? 0, line["mutual_information"] as? Double ?? 0)
            XCTAssertEqual(loss + bound, log(1 + 23 * 49), accuracy: 1e-9)
        }

        XCTAssertEqual(try checkpoints("run"), ["step-00000004", "step-00000005"])
        let manifest = try json("run/checkpoints/step-00000005/manifest.json")
        XCTAssertEqual(manifest["step"] as? Int, 5)
        let files = try XCTUnwrap(manifest["files"] as? [[String: Any]])
        XCTAssertEqual(files.compactMap { $0["name"] as? String }, ["model.safetensors", "optimiser.safetensors"])
        for file in files {
            let name = try XCTUnwrap(file["name"] as? String)
            let location = path("run/checkpoints/step-00000005/\(name)")
            XCTAssertEqual(
                try FileManager.default.attributesOfItem(atPath: location)[.size] as? Int, file["bytes"] as? Int)
        }
    }

    func testNoStepsWriteTheUntrainedModel() throws {
        try succeed(trainArguments("run", steps: 0))
        XCTAssertEqual(try checkpoints("run"), ["step-00000000"])
        XCTAssertEqual(try metrics("run").count, 0)
        try assertRefused(trainArguments("run", steps: 1), [path("run"), "--resume"])
    }

    func testAResumedRunIsTheSameRun() throws {
        try succeed(trainArguments("whole", steps: 5))
        try succeed(trainArguments("parts", steps: 3, ["--resume"]))  // of nothing: a start
        XCTAssertEqual(try losses("parts"), Array(try losses("whole").prefix(3)))
        let output = try succeed(["train", "--output", path("parts"), "--steps", "5", "--resume"])
        XCTAssertTrue(output.contains("from step 3"), output)
        XCTAssertEqual(try losses("parts"), try losses("whole"))
        XCTAssertEqual(
            try Data(contentsOf: URL(fileURLWithPath: path("parts/checkpoints/step-00000005/model.safetensors"))),
            try Data(contentsOf: URL(fileURLWithPath: path("whole/checkpoints/step-00000005/model.safetensors"))))

        let more = ["train", "--output", path("parts"), "--resume"]
        try assertRefused(more + ["--seed", "9"], ["seed differs"])
        try assertRefused(more + ["--set", "critic.units=8"], ["critic.units differs"])
        try assertRefused(["train", "--output", path("parts"), "--data", path("data")], ["5 steps", "--resume"])
        XCTAssertEqual(try losses("parts"), try losses("whole"))
    }

    /// A run may go on with another exchange between nodes, of which here is one.
    func testAResumedRunMayChangeItsExchange() throws {
        try succeed(trainArguments("run", steps: 2))
        let ending = try run(trainArguments("run", steps: 3, ["--resume", "--set", "exchange=bfloat16"]))
        XCTAssertEqual(ending.status, 0, ending.errors)
        XCTAssertEqual(ending.errorLines.count, 2, ending.errors)
        for text in [
            "exchange is bfloat16, which has no effect on one node",
            "steps to 2 exchanged gradients in float32, the next ones exchange them in bfloat16",
        ] { XCTAssertTrue(ending.errors.contains(text), "\(text): \(ending.errors)") }
        let lines = try metrics("run")
        XCTAssertEqual(lines.map { $0["step"] as? Int }, [1, 2, 2, 3])
        XCTAssertEqual(lines.map { $0["exchange"] as? String }, [nil, nil, "bfloat16", nil])
        XCTAssertNil(lines[2]["precision"])
        try succeed(trainArguments("whole", steps: 3))
        XCTAssertEqual(try losses("run"), try losses("whole"))
    }

    func testASignalStopsARunThatCanGoOn() throws {
        for (signal, ranks) in [(SIGTERM, []), (SIGUSR1, Self.threads(2)), (SIGINT, [])] {
            let name = "run \(signal)"
            let running = try start(trainArguments(name, steps: 100_000, ranks))
            try waitForSteps(2, of: name)
            XCTAssertEqual(kill(running.identifier, signal), 0)
            let ending = try running.end(within: Self.patience)
            XCTAssertEqual(ending.status, 75, ending.errors)
            XCTAssertEqual(ending.errors, "")
            XCTAssertTrue(ending.output.contains("--resume"), ending.output)

            let done = try losses(name).count
            XCTAssertEqual(try checkpoints(name).last, "step-" + String(format: "%08d", done))
            guard signal == SIGTERM else { continue }
            try succeed(trainArguments(name, steps: done + 2, ["--resume"] + ranks))
            try succeed(trainArguments("whole", steps: done + 2, ranks))
            XCTAssertEqual(try losses(name), try losses("whole"))
        }
    }

    func testResumingAsksForMoreSteps() throws {
        try succeed(trainArguments("run", steps: 3))
        let settings = try Data(contentsOf: URL(fileURLWithPath: path("run/config.json")))
        try assertRefused(trainArguments("run", steps: 2, ["--resume"]), ["steps is 2", "a run of 3"])
        XCTAssertEqual(try Data(contentsOf: URL(fileURLWithPath: path("run/config.json"))), settings)
    }

    /// A run that was ended before its first checkpoint leaves settings, which bind nobody.
    func testSettingsWithoutStepsMayChange() throws {
        try succeed(trainArguments("run", steps: 1))
        try FileManager.default.removeItem(atPath: path("run/checkpoints"))
        try succeed(trainArguments("run", steps: 1, ["--resume", "--seed", "5"]))
        let text = try String(contentsOfFile: path("run/config.json"), encoding: .utf8)
        XCTAssertTrue(text.contains("\"seed\" : 5"), text)
        XCTAssertTrue(text.contains(path("data")) && text.contains("\"basic28x28\""), text)
    }

    func testADamagedCheckpointIsPassedOver() throws {
        try succeed(trainArguments("run", steps: 2, ["--set", "checkpoint.every=1"]))
        let before = try losses("run")
        XCTAssertEqual(truncate(path("run/checkpoints/step-00000002/optimiser.safetensors"), 5000), 0)
        let ending = try run(trainArguments("run", steps: 2, ["--set", "checkpoint.every=1", "--resume"]))
        XCTAssertEqual(ending.status, 0, ending.errors)
        XCTAssertEqual(ending.errorLines.count, 1, ending.errors)
        XCTAssertTrue(ending.errors.contains("step-00000002/optimiser.safetensors"), ending.errors)
        XCTAssertEqual(try losses("run"), before)
    }
}
