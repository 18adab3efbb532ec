import Autodiff
import Collectives
import Datasets
import Foundation
import Layers
import Methods
import Tensors
import Training

/// The report that `bench step` prints.
private struct StepReport: Encodable {
    let milliseconds: Double
    let lowestMilliseconds: Double
    let highestMilliseconds: Double
    let imagesPerSecond: Double
    let ranks: Int
    let threads: Int
    let precision: Precision
    /// Units of the critic, where the method has one.
    let units: Int?
    /// Samples of all ranks.
    let batch: Int
    /// The most samples that a rank has.
    let batchPerRank: Int
    let peakMemoryMiB: Double
    let allocationsAfterWarmUp: Int
    let gemmGigaflops: Double
    let streamGigabytes: Double
    /// The fastest step's time divided by the fastest matrix product's.
    let stepOverGEMM: Double
    let encoderOfGEMM: Double
    let communicationMilliseconds: Double
    /// Time in which the step waits for its batch.
    let dataMilliseconds: Double
    let dataOfStep: Double
    let pieces: [PieceTable.Row]

    private enum CodingKeys: String, CodingKey {
        case threads, precision, units, batch, pieces
        case ranks = "world_size"
        case milliseconds = "step_ms"
        case lowestMilliseconds = "step_ms_lowest"
        case highestMilliseconds = "step_ms_highest"
        case imagesPerSecond = "images_per_second"
        case batchPerRank = "batch_per_rank"
        case peakMemoryMiB = "peak_memory_mib"
        case allocationsAfterWarmUp = "system_allocations_after_warm_up"
        case gemmGigaflops = "gemm_gflops_per_second"
        case streamGigabytes = "stream_gbytes_per_second"
        case stepOverGEMM = "step_over_gemm"
        case encoderOfGEMM = "encoder_of_gemm"
        case communicationMilliseconds = "communication_ms"
        case dataMilliseconds = "data_ms"
        case dataOfStep = "data_of_step"
    }

    var text: String {
        String(
            format:
                "step %.1f ms (%.1f to %.1f) of %d images, %.0f images/s on %d ranks, peak tensor memory %.1f MiB a "
                + "rank\ncommunication %.2f ms, data %.2f ms, encoder at %.0f %% of a matrix product's %.1f GFLOP/s, "
                + "memory at best %.1f GB/s",
            milliseconds, lowestMilliseconds, highestMilliseconds, batch, imagesPerSecond, ranks, peakMemoryMiB,
            communicationMilliseconds, dataMilliseconds, 100 * encoderOfGEMM, gemmGigaflops, streamGigabytes)
    }
}

extension Program {
    static let bench = Command(
        name: "bench step",
        summary: "Time the pieces of a training step, on random CIFAR-shaped images or on data.",
        usage: "[--units U] [--batch B|--batch-per-rank B] [--threads T] [--steps N] [--trace FILE.json] [--json]",
        options: StepRequest.options + [
            Option("data", "PATH", "use these data, and time their augmentation too"),
            Option("trace", "FILE", "write a timeline of all ranks, for ui.perfetto.dev or chrome://tracing"),
            Option("json", "one JSON object instead of a table"),
        ],
        notes: """
            The pieces are those of rank 0. Time in a piece inside another piece counts for the inner one only. The last
            columns are floating-point operations or bytes per second, and the percentage of this machine's best: of a
            matrix product of 1024x1024, or of a = b + s·c in large arrays, both timed now with all ranks at work.
            Collectives include the wait for slower ranks.
            """
    ) { (arguments: Arguments, ranks: any Ranks) throws -> ExitStatus in
        let request = try ranks.agree { try StepRequest(arguments, ranks: ranks) }
        return try time(request.kind.type, request, arguments, ranks)
    }

    private static func time<M: Method>(
        _ method: M.Type, _ request: StepRequest, _ arguments: Arguments, _ ranks: any Ranks
    ) throws -> ExitStatus {
        let configuration = try ranks.agree { try Configuration<M>(layers: request.layers) }
        let device = try Program.device(
            threads: configuration.threads, precision: configuration.precision, ranks: ranks)
        let peak = try MachinePeak(device: device, ranks: ranks)
        device.memory.trim()
        let steps = request.steps
        let run = try StepBenchmark(configuration, device: device, ranks: ranks).run(steps: steps)
        let table = PieceTable(run.timeline, steps: steps, peak: peak)
        if let path = arguments.text("trace") {
            let trace = try Trace.text(run.timeline, ranks: ranks)
            try ranks.agree {
                guard ranks.isFirst else { return }
                do { try trace.write(toFile: path, atomically: true, encoding: .utf8) } catch {
                    throw InputError("--trace is \(path), which can't be written: \(error.localizedDescription)")
                }
            }
        }
        try tell(by: ranks) {
            let times = run.milliseconds.sorted()
            let median = run.median
            let report = StepReport(
                milliseconds: median, lowestMilliseconds: times[0], highestMilliseconds: times[times.count - 1],
                imagesPerSecond: Double(configuration.batch) / median * 1000, ranks: ranks.worldSize,
                threads: device.threads, precision: device.precision,
                units: try configuration.tree().value(at: "critic.units").integer,
                batch: configuration.batch,
                batchPerRank: (configuration.batch + ranks.worldSize - 1) / ranks.worldSize,
                peakMemoryMiB: Double(device.memory.peakBytes) / 1_048_576, allocationsAfterWarmUp: run.allocations,
                gemmGigaflops: peak.gigaflops, streamGigabytes: peak.gigabytes,
                stepOverGEMM: times[0] / peak.milliseconds, encoderOfGEMM: table.encoderGigaflops / peak.gigaflops,
                communicationMilliseconds: table.milliseconds(.communication),
                dataMilliseconds: table.milliseconds(.data), dataOfStep: table.milliseconds(.data) / median,
                pieces: table.rows)
            if arguments.has("json") { return try json(report) }
            let mean = run.milliseconds.reduce(0, +) / Double(steps)
            return report.text + "\n\n" + table.text(step: mean)
        }
        return .success
    }
}

/// The request of a benchmark of steps.
struct StepRequest {
    static let options = [
        Option("method", "NAME", "method whose step is timed: \(MethodKind.expectation)"),
        Option("units", "U", "units of deepInfoMax's critic; 512 by default"),
        Option("batch", "B", "samples of the global batch, which the ranks divide, as in train"),
        Option("batch-per-rank", "B", "samples of each rank; 64 by default"),
        Program.threadsOption, Program.precisionOption,
        Option("steps", "N", "steps to time, after 5 that warm up; 20 by default"),
        Option("set", "KEY=VALUE", "sets any setting of train; may be repeated", repeats: true),
    ]

    let kind: MethodKind
    let layers: [JSONValue]
    /// Number of steps to time.
    let steps: Int

    /// - Throws: `InputError` on values out of range, and on settings that the method doesn't have.
    init(_ arguments: Arguments, ranks: any Ranks) throws {
        var typed = try JSONValue.settings(typed: arguments.all("set"))
        if let name = arguments.text("method") { typed.append(.leaf("method", .string(name))) }
        if arguments.has("units") {
            typed.append(.leaf("critic.units", .integer(try arguments.number("units", in: 1...65536, default: 0))))
        }
        if arguments.has("threads") {
            typed.append(.leaf("threads", .integer(try arguments.number("threads", in: 0...1024, default: 0))))
        }
        if let text = arguments.text("precision") { typed.append(.leaf("precision", .string(text))) }
        if arguments.has("batch") {
            typed.append(.leaf("batch", .integer(try arguments.number("batch", in: 2...1 << 20, default: 0))))
        }
        kind = try MethodKind(layers: typed)
        try kind.refuseOthers(typed)
        let isWhole = typed.contains { $0.members["batch"] != nil }
        guard !(isWhole && arguments.has("batch-per-rank")) else {
            throw InputError("--batch (of all ranks) and --batch-per-rank are both given: give only one of them")
        }
        if isWhole && ranks.worldSize > 1 && ranks.isFirst {
            Program.complain(
                "--batch is divided by the \(ranks.worldSize) ranks; to set each rank's share, use --batch-per-rank")
        }
        if !isWhole {
            let batch = try arguments.number("batch-per-rank", in: 1...1 << 20, default: 64)
            typed.append(.leaf("batch", .integer(batch * ranks.worldSize)))
        }
        // Without data, images are random.
        typed.insert(.leaf("data.path", .string("")), at: 0)
        if let path = arguments.text("data") { typed.append(.leaf("data.path", .string(path))) }
        layers = typed
        steps = try arguments.number("steps", in: 1...1_000_000, default: 20)
    }
}
