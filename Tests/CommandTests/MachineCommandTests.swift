import Foundation
import XCTest

/// `bench` and `doctor`.
final class MachineCommandTests: CommandTestCase {
    private func bench(_ more: [String]) throws -> [String: Double] {
        let output = try succeed(["bench", "step", "--json", "--steps", "3", "--batch-per-rank", "4"] + more)
        let object = try JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any]
        return try XCTUnwrap(object, output).compactMapValues { $0 as? Double }
    }

    func testBenchPrintsOneObject() throws {
        for ranks in [1, 2] {
            let report = try bench(["--units", "16"] + Self.threads(ranks))
            let median = try XCTUnwrap(report["step_ms"])
            XCTAssertGreaterThan(median, 0)
            XCTAssertEqual(report["images_per_second"] ?? 0, Double(4 * ranks) / median * 1000, accuracy: 1e-6)
            XCTAssertLessThanOrEqual(report["step_ms_lowest"] ?? .infinity, median)
            XCTAssertGreaterThanOrEqual(report["step_ms_highest"] ?? 0, median)
            XCTAssertEqual(report["world_size"], Double(ranks))
            XCTAssertEqual(report["threads"], 1)
            XCTAssertEqual(report["units"], 16)
            XCTAssertEqual(report["batch_per_rank"], 4)
            XCTAssertEqual(report["batch"], 4 * Double(ranks))
            XCTAssertGreaterThan(report["peak_memory_mib"] ?? 0, 10)
            XCTAssertEqual(report["system_allocations_after_warm_up"], 0)
            XCTAssertEqual(report["data_of_step"] ?? -1, (report["data_ms"] ?? 0) / median, accuracy: 1e-9)
        }
    }

    /// The trace has every rank's layers and collectives, and pieces fill the steps and no more.
    func testTraceOfAStep() throws {
        let path = "\(folder)/trace.json"
        let output = try succeed(
            ["bench", "step", "--json", "--steps", "3", "--batch-per-rank", "4", "--units", "16", "--trace", path]
                + Self.threads(2))
        let trace = try JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: path)))
        let events = try XCTUnwrap((trace as? [String: Any])?["traceEvents"] as? [[String: Any]])
        for rank in 0..<2 {
            let own = events.filter { $0["pid"] as? Int == rank && $0["ph"] as? String == "X" }
            let names = Dictionary(grouping: own) { $0["name"] as? String ?? "" }.mapValues(\.count)
            let expected = [
                "encoder.conv1", "encoder.conv1 backward", "contrastive loss", "gradient sum", "Adam", "data",
            ]
            for name in expected {
                XCTAssertEqual(names[name], 3, "\(name): \(names)")
            }
            XCTAssertGreaterThan(names["sum"] ?? 0, 3)
            for event in own {
                XCTAssertGreaterThanOrEqual(event["dur"] as? Double ?? -1, 0)
                XCTAssertGreaterThanOrEqual(event["ts"] as? Double ?? -1, 0)
            }
        }
        let convolution = try XCTUnwrap(events.first { $0["name"] as? String == "encoder.conv1" })
        let work = (convolution["args"] as? [String: Any])?["gigaflop"] as? Double
        let locations = 16 * 16
        let expected = Double(2 * 4 * locations * 64 * 48)  // 4 images, 64 channels from 4x4x3 pixels
        XCTAssertEqual((work ?? 0) * 1e9, expected, accuracy: 1)

        let report = try XCTUnwrap(JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any])
        let pieces = try XCTUnwrap(report["pieces"] as? [[String: Any]])
        let total = pieces.reduce(0.0) { $0 + ($1["ms"] as? Double ?? .nan) }
        let highest = try XCTUnwrap(report["step_ms_highest"] as? Double)
        XCTAssertLessThan(total, highest * 1.01)
        XCTAssertGreaterThan(total, 0)
        try assertRefused(
            ["bench", "step", "--steps", "1", "--batch", "2", "--trace", "/nowhere/x.json"], ["/nowhere"])
    }

    /// The loss is that of random vectors at any number of ranks, and its memory grows with N, not with N².
    func testBenchOfTheLoss() throws {
        var working: [Double] = []
        for (images, ranks) in [(512, 1), (2048, 1), (2048, 2)] {
            let output = try succeed(
                ["bench", "loss", "--json", "--images", "\(images)", "--locations", "4", "--dimensions", "8"]
                    + Self.threads(ranks))
            let report = try XCTUnwrap(JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any])
            // Scores of variance 1: ln of N·M terms of mean sqrt(e).
            let loss = try XCTUnwrap(report["loss"] as? Double)
            XCTAssertEqual(loss, log(Double(images * 4)) + 0.5, accuracy: 0.2)
            working.append(try XCTUnwrap(report["working_memory_mib"] as? Double))
        }
        let tile = 8.0  // MiB of 2^21 scores
        XCTAssertLessThan(working[1], 4 * working[0] + tile, "\(working)")
        let many = ["bench", "loss", "--images", "16777216"]
        try assertRefused(many + ["--locations", "4096"], ["16777216", "GB"])
        try assertRefused(many + ["--dimensions", "4096"], ["16777216", "2147483647"])
    }

    func testBenchOfViews() throws {
        let common = ["bench", "views", "--rounds", "3", "--size", "40", "--view-size", "24"]
        for (ranks, threads) in [(1, 1), (2, 1), (1, 2)] {
            let output = try succeed(
                common + ["--recipe", "multiCrop", "--threads", "\(threads)", "--json"] + Self.threads(ranks))
            let report = try XCTUnwrap(JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any])
            let speed = try XCTUnwrap(report["views_per_second"] as? Double)
            XCTAssertGreaterThan(speed, 0)
            XCTAssertLessThanOrEqual(report["views_per_second_lowest"] as? Double ?? .infinity, speed)
            XCTAssertGreaterThanOrEqual(report["views_per_second_highest"] as? Double ?? 0, speed)
            XCTAssertEqual(report["recipe"] as? String, "multiCrop")
            XCTAssertEqual(report["size"] as? Int, 40)
            XCTAssertEqual(report["view_size"] as? Int, 24)
            XCTAssertEqual(report["world_size"] as? Int, ranks)
            XCTAssertEqual(report["threads"] as? Int, threads)
        }
        XCTAssertTrue(try succeed(common).contains("24x24 from 40x40, recipe simclr"))
        try assertRefused(common + ["--recipe", "simsiam"], ["simsiam", "simclr, byol"])
        try assertRefused(common + ["--set", "batch=4"], ["--set batch", "data.augmentation"])
        try assertRefused(common + ["--set", "data.augmentation.crop.least=2"], ["crop.least is 2", "at most 1"])
    }

    /// On one node as measured; on more, a slower step the slower the network is.
    func testProjectionOfMoreNodes() throws {
        let common = [
            "bench", "project", "--json", "--nodes", "2,64", "--units", "16", "--batch-per-rank", "4", "--steps", "3",
        ]
        func rows(_ network: [String]) throws -> [[String: Double]] {
            let output = try succeed(common + network)
            return try XCTUnwrap(JSONSerialization.jsonObject(with: Data(output.utf8)) as? [[String: Double]], output)
        }
        let slow = try rows(["--bandwidth", "1Mb", "--latency", "10ms"])
        XCTAssertEqual(slow.map { $0["nodes"] }, [1, 2, 64])
        XCTAssertEqual(slow[0]["efficiency"], 1)
        XCTAssertEqual(slow[2]["images"], 256)
        // 5.5 million parameters over 125,000 bytes a second, each way once in a sum of two.
        let gradients = try XCTUnwrap(slow[1]["gradients_ms"])
        XCTAssertGreaterThan(gradients, 100_000)
        XCTAssertGreaterThan(slow[1]["exchanges_ms"] ?? 0, 100)
        XCTAssertLessThan(slow[1]["efficiency"] ?? 1, 0.1)
        let fast = try rows(["--bandwidth", "100GB", "--latency", "1us"])
        XCTAssertLessThan(fast[1]["gradients_ms"] ?? .infinity, 1)
        try assertRefused(common + ["--bandwidth", "25", "--latency", "1us"], ["--bandwidth is 25", "25Gb"])
        try assertRefused(common + ["--bandwidth", "25Gb", "--latency", "0us"], ["--latency is 0us", "5us"])
    }

    /// As in `train`, whatever the number of ranks.
    func testTheBatchIsThatOfAllRanks() throws {
        let common = ["bench", "step", "--json", "--steps", "1", "--units", "16"]
        for more in [["--batch", "6"], ["--set", "batch=6"]] {
            let ending = try run(common + more + Self.threads(2))
            XCTAssertEqual(ending.status, 0, ending.errors)
            let report = try JSONSerialization.jsonObject(with: Data(ending.output.utf8)) as? [String: Any]
            XCTAssertEqual(report?["batch"] as? Int, 6)
            XCTAssertEqual(report?["batch_per_rank"] as? Int, 3)
            XCTAssertEqual(ending.errorLines.count, 1, ending.errors)
            XCTAssertTrue(ending.errors.contains("divided by the 2 ranks"), ending.errors)
            try assertRefused(common + more + ["--batch-per-rank", "3"], ["--batch-per-rank", "one of them"])
        }
    }

    /// Threads that must share cores are never silent.
    func testCrowdingIsSaid() throws {
        let command = ["bench", "loss", "--images", "64", "--locations", "2", "--dimensions", "4", "--threads"]
        let ending = try run(command + ["257"])
        XCTAssertEqual(ending.status, 0, ending.errors)
        XCTAssertTrue(ending.errors.contains("1 ranks of 257 threads share"), ending.errors)
        XCTAssertEqual(ending.errorLines.count, 1)
        XCTAssertEqual(try run(command + ["1"]).errors, "")
    }

    func testBenchTakesSettings() throws {
        XCTAssertEqual(try bench(["--set", "critic.units=8"])["units"], 8)
        XCTAssertEqual(try bench(["--set", "critic.units=8", "--units", "9"])["units"], 9)
        let sentence = try succeed(["bench", "step", "--steps", "1", "--batch", "4", "--units", "16"])
        XCTAssertTrue(sentence.contains("images/s on 1 rank"), sentence)
        try assertRefused(["bench", "step", "--set", "encoder.kind=basic28x28"] + Self.threads(2), ["basic28x28"])
    }

    func testDoctorHasALineForEachSubject() throws {
        let ending = try run(["doctor"])
        XCTAssertEqual(ending.errors, "")
        let lines = ending.output.split(separator: "\n").map(String.init)
        let subjects = [
            "mpi", "slots", "binding", "shared memory", "single copy", "blas kernel", "products",
            "bfloat16",
        ]
        XCTAssertEqual(lines.count, subjects.count, ending.output)
        for (line, subject) in zip(lines, subjects) {
            XCTAssertTrue(line.hasPrefix(subject + " "), line)
            XCTAssertGreaterThan(line.count, subject.count + 5)
        }
        let areOK = lines.allSatisfy { $0.dropFirst(14).hasPrefix("ok, ") }
        XCTAssertEqual(ending.status, areOK ? 0 : 1, ending.output)
        XCTAssertTrue(lines[1].contains("1 rank on 1 host"), lines[1])
    }

    /// A rank that is bound to its core sees that one only, and its neighbours have theirs.
    func testCoresOfBoundRanks() throws {
        let ranks = min(2, ProcessInfo.processInfo.activeProcessorCount)
        let doctor = try start(["doctor"], mpi: ranks, binding: "core").end(within: Self.patience)
        let slots = try XCTUnwrap(doctor.output.split(separator: "\n").first { $0.hasPrefix("slots") }, doctor.errors)
        XCTAssertTrue(slots.contains("ok, \(ranks) rank"), "\(slots)")
        let command = ["bench", "loss", "--images", "64", "--locations", "2", "--dimensions", "4"]
        XCTAssertEqual(try start(command, mpi: ranks, binding: "core").end(within: Self.patience).errors, "")
    }

    /// mpirun itself may use one core, as in a container.
    func testMoreRanksThanCores() throws {
        let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
        let list = try XCTUnwrap(status.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list:") })
        let first = try XCTUnwrap(list.split { !$0.isNumber }.first)
        let held = ["taskset", "-c", String(first)]
        let doctor = try start(["doctor"], mpi: 2, held: held).end(within: Self.patience)
        XCTAssertTrue(doctor.output.contains("2 ranks on 1 host, 1 cores here: more ranks than cores"), doctor.output)
        let command = ["bench", "loss", "--images", "64", "--locations", "2", "--dimensions", "4"]
        let bench = try start(command, mpi: 2, held: held).end(within: Self.patience)
        XCTAssertEqual(bench.status, 0, bench.errors)
        XCTAssertTrue(bench.errors.contains("2 ranks of 1 threads share 1 cores"), bench.errors)
    }
}
