import Autodiff
import Collectives
import Foundation
import Objectives
import Tensors
import Training

/// The report that `bench loss` prints.
private struct LossReport: Encodable {
    let loss: Double
    let seconds: Double
    let images: Int
    let locations: Int
    let dimensions: Int
    let ranks: Int
    let precision: Precision
    let gigaflopsPerSecond: Double
    let gemmGigaflops: Double
    /// Memory of tensors on this rank: in total, and without the inputs and their gradients.
    let peakMemoryMiB: Double
    let workingMemoryMiB: Double
    /// Working memory in units of N·(d + 2)·4 bytes.
    let workingMemoryOfGlobals: Double

    private enum CodingKeys: String, CodingKey {
        case loss, seconds, images, locations, dimensions, precision
        case ranks = "world_size"
        case gigaflopsPerSecond = "gflops_per_second"
        case gemmGigaflops = "gemm_gflops_per_second"
        case peakMemoryMiB = "peak_memory_mib"
        case workingMemoryMiB = "working_memory_mib"
        case workingMemoryOfGlobals = "working_memory_of_globals"
    }

    var text: String {
        String(
            format:
                "loss %.4f and its gradients in %.1f s on %d ranks, %.1f GFLOP/s a rank (%.0f %% of a matrix product)\n"
                + "tensors %.1f MiB a rank at their peak, %.1f MiB beyond inputs and gradients: %.2f of N·(d + 2)·4 "
                + "bytes",
            loss, seconds, ranks, gigaflopsPerSecond, 100 * gigaflopsPerSecond / gemmGigaflops, peakMemoryMiB,
            workingMemoryMiB, workingMemoryOfGlobals)
    }
}

extension Program {
    static let benchLoss = Command(
        name: "bench loss",
        summary: "Time the contrastive loss and its gradients alone, on any number of random vectors.",
        usage: "--images N [--locations M] [--dimensions D] [--estimator E] [--json]",
        options: [
            Option("images", "N", "images of the global batch, which the ranks divide; 4096 by default"),
            Option("locations", "M", "local vectors of each image; 64 by default"),
            Option("dimensions", "D", "dimensions of each vector; 64 by default"),
            Option("estimator", "E", "estimator of mutual information; infoNCE by default"),
            Option("anchor", "A", "anchor of infoNCE: global (by default), local or both"),
            threadsOption, precisionOption,
            Option("json", "one JSON object instead of a sentence"),
        ],
        notes: """
            Memory grows with N·D, not with N²: scores are computed one tile at a time, twice. The percentage of a
            matrix product's speed counts only the products. The two exponentials of each score are not counted.
            """
    ) { (arguments: Arguments, ranks: any Ranks) throws -> ExitStatus in
        let (images, locations, dimensions, loss, threads, precision) = try ranks.agree {
            let images = try arguments.number("images", in: 2...1 << 24, default: 4096)
            let locations = try arguments.number("locations", in: 1...1 << 16, default: 64)
            let dimensions = try arguments.number("dimensions", in: 1...1 << 16, default: 64)
            let estimator: Estimator = try arguments.choice("estimator", default: .infoNCE)
            let anchor: Anchor = try arguments.choice("anchor", default: .global)
            let precision: Precision = try arguments.choice("precision", default: .float32)
            // Vectors, their gradients, and rounded copies.
            let bytes = (precision == .float32 ? 8 : 12) * Double(images) * Double(locations + 2) * Double(dimensions)
            let memory = Double(ProcessInfo.processInfo.physicalMemory)
            guard images * dimensions <= Int(Int32.max) else {
                throw InputError(
                    "--images \(images) times --dimensions \(dimensions) is above \(Int32.max), the most numbers that "
                        + "a gather takes: lower one of them"
                )
            }
            guard bytes / Double(ranks.worldSize) < memory else {
                throw InputError(
                    "--images \(images) with \(locations) vectors of \(dimensions) numbers take "
                        + "\(Int(bytes / 1e9)) GB with their gradients, but this machine has \(Int(memory / 1e9)) GB: "
                        + "lower --images, --locations or --dimensions")
            }
            let threads = try arguments.number("threads", in: 0...1024, default: 0)
            return (images, locations, dimensions, ContrastiveLoss(estimator, anchor: anchor), threads, precision)
        }
        let device = try Program.device(threads: threads, precision: precision, ranks: ranks)
        let peak = try MachinePeak(device: device, ranks: ranks)
        device.memory.trim()
        let counts = (0..<ranks.worldSize).map { images * ($0 + 1) / ranks.worldSize - images * $0 / ranks.worldSize }
        let shares = Shares(counts: counts, rank: ranks.rank)
        func random(_ shape: [Int], purpose: Int) -> Tensor {
            let result = device.tensor(shape)
            var stream = RandomStream(seed: 0, purpose: .synthetic, step: purpose, sample: ranks.rank)
            // Each number has variance 1/sqrt(d), so scores have variance 1.
            let bound = Float(3 / Double(dimensions).squareRoot()).squareRoot()
            for i in 0..<result.count { result.base[i] = (2 * stream.uniform() - 1) * bound }
            return result
        }
        let locals = random([shares.own * locations, dimensions], purpose: 0)
        let globals = random([shares.own, dimensions], purpose: 1)
        let timeline = Timeline()
        device.timeline = timeline
        device.memory.resetPeak()
        try ranks.barrier()
        let start = ContinuousClock.now
        let result = try timeline.measure("contrastive loss", .computation) {
            try loss(
                locals: [LocalFactor(values: locals, columns: 0..<dimensions)], globals: globals, locations: locations,
                shares: shares, device: device, ranks: ranks)
        }
        try ranks.barrier()
        let seconds = start.duration(to: .now) / .seconds(1)
        let total = try ranks.sum([result.loss])[0]
        try tell(by: ranks) {
            let working = device.memory.peakBytes - 8 * (locals.count + globals.count)
            let report = LossReport(
                loss: total, seconds: seconds, images: images, locations: locations, dimensions: dimensions,
                ranks: ranks.worldSize, precision: precision,
                gigaflopsPerSecond: Double(timeline.pieces[0].work.operations) / seconds / 1e9,
                gemmGigaflops: peak.gigaflops, peakMemoryMiB: Double(device.memory.peakBytes) / 1_048_576,
                workingMemoryMiB: Double(working) / 1_048_576,
                workingMemoryOfGlobals: Double(working) / Double(images * (dimensions + 2) * 4))
            return arguments.has("json") ? try json(report) : report.text
        }
        return .success
    }
}
