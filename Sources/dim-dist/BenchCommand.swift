import Autodiff
import Collectives
import Data
import Foundation
import Layers
import Tensors
import Training

/// What `bench step` prints.
private struct StepReport: Encodable {
    let milliseconds: Double
    let lowestMilliseconds: Double
    let highestMilliseconds: Double
    let imagesPerSecond: Double
    let ranks: Int
    let threads: Int
    let units: Int
    let batchPerRank: Int
    let peakMemoryMiB: Double
    let allocationsAfterWarmUp: Int

    private enum CodingKeys: String, CodingKey {
        case ranks, threads, units
        case milliseconds = "step_ms"
        case lowestMilliseconds = "step_ms_lowest"
        case highestMilliseconds = "step_ms_highest"
        case imagesPerSecond = "images_per_second"
        case batchPerRank = "batch_per_rank"
        case peakMemoryMiB = "peak_memory_mib"
        case allocationsAfterWarmUp = "system_allocations_after_warm_up"
    }
}

extension Program {
    static let bench = Command(
        name: "bench step", summary: "Time the local DIM training step on random CIFAR-shaped images.",
        usage: "[--units U] [--batch B] [--threads T] [--steps N] [--json]",
        options: [
            Option("units", "U", "critic units; 512 by default"),
            Option("batch", "B", "images a rank; 64 by default"),
            Option("threads", "T", "threads a rank; OMP_NUM_THREADS by default"),
            Option("steps", "N", "steps timed, behind 5 that warm up; 20 by default"),
            Option("set", "KEY=VALUE", "any setting of train", repeats: true),
            Option("json", "one JSON object instead of a sentence"),
        ]
    ) { (arguments: Arguments, ranks: any Ranks) throws -> ExitStatus in
        let (configuration, batch, steps) = try ranks.agree {
            let batch = try arguments.number("batch", in: 1...1 << 20, default: 64)
            var configuration = try Configuration(layers: Program.settingsTyped(arguments))
            configuration.critic.units = try arguments.number(
                "units", in: 1...65536, default: configuration.critic.units)
            configuration.threads = try arguments.number("threads", in: 0...1024, default: configuration.threads)
            return (configuration, batch, try arguments.number("steps", in: 1...1_000_000, default: 20))
        }
        let device = try Device(configuration)
        let card = ModelCard(
            height: 32, width: 32, channels: 3, normalisation: Normalisation(mean: [0, 0, 0], deviation: [1, 1, 1]))
        let model = try ranks.agree { try Model(configuration, card: card, device: device) }
        let optimisers = model.optimisers(configuration)
        let shares = Shares(counts: Array(repeating: batch, count: ranks.worldSize), rank: ranks.rank)
        let images = device.tensor([batch, 32, 32, 3])
        var stream = RandomStream(seed: 0, purpose: .synthetic, sample: ranks.rank)
        for i in 0..<images.count { images.base[i] = 2 * stream.uniform() - 1 }

        let warmUp = 5
        var times: [Double] = []
        var allocations = 0
        for step in 0..<warmUp + steps {
            if step == warmUp { allocations = device.memory.systemAllocations }
            try ranks.barrier()
            let start = ContinuousClock.now
            let terms = try model.gradients(images: images, shares: shares, ranks: ranks, step: step)
            let isFinite = try ranks.sum(terms.values).allSatisfy(\.isFinite)
            if isFinite && model.parameterSets.allSatisfy(\.gradients.isFinite) {
                for (set, optimiser) in zip(model.parameterSets, optimisers) {
                    optimiser.update(set, rate: optimiser.settings.rate)
                }
            }
            if step >= warmUp { times.append(start.duration(to: .now) / .milliseconds(1)) }
        }
        guard ranks.isFirst else { return .success }
        times.sort()
        let median = (times[times.count / 2] + times[(times.count - 1) / 2]) / 2
        let report = StepReport(
            milliseconds: median, lowestMilliseconds: times[0], highestMilliseconds: times[times.count - 1],
            imagesPerSecond: Double(batch * ranks.worldSize) / median * 1000, ranks: ranks.worldSize,
            threads: device.threads, units: configuration.critic.units, batchPerRank: batch,
            peakMemoryMiB: Double(device.memory.peakBytes) / 1_048_576,
            allocationsAfterWarmUp: device.memory.systemAllocations - allocations)
        if arguments.has("json") {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys]
            print(String(decoding: try encoder.encode(report), as: UTF8.self))
        } else {
            print(
                String(
                    format:
                        "step %.1f ms (%.1f to %.1f), %.0f images/s on %d ranks, peak tensor memory %.1f MiB a rank",
                    report.milliseconds, report.lowestMilliseconds, report.highestMilliseconds, report.imagesPerSecond,
                    report.ranks, report.peakMemoryMiB))
        }
        return .success
    }
}
