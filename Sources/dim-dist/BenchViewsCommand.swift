import Collectives
import Datasets
import Methods
import Tensors
import Training

/// The report that `bench views` prints.
private struct ViewsReport: Encodable {
    /// Of all ranks, in the median round.
    let viewsPerSecond: Double
    let lowestViewsPerSecond: Double
    let highestViewsPerSecond: Double
    let recipe: String
    /// Sides of images and of views, in pixels.
    let size: Int
    let viewSize: Int
    let ranks: Int
    let threads: Int

    private enum CodingKeys: String, CodingKey {
        case recipe, size, threads
        case viewsPerSecond = "views_per_second"
        case lowestViewsPerSecond = "views_per_second_lowest"
        case highestViewsPerSecond = "views_per_second_highest"
        case viewSize = "view_size"
        case ranks = "world_size"
    }

    var text: String {
        "\(Int(viewsPerSecond)) views/s (\(Int(lowestViewsPerSecond)) to \(Int(highestViewsPerSecond))) of \(viewSize)x"
            + "\(viewSize) from \(size)x\(size), recipe \(recipe), on \(ranks) ranks of \(threads) threads"
    }
}

extension Program {
    static let benchViews = Command(
        name: "bench views",
        summary: "Time the views of augmented images alone, on random RGB images.",
        usage: "[--recipe R] [--size S] [--view-size V] [--threads T] [--rounds N] [--json]",
        options: [
            Option("recipe", "R", "data.augmentation.recipe: \(AugmentationRecipe.expectation); simclr by default"),
            Option("size", "S", "side of the images in pixels; 32 by default"),
            Option("view-size", "V", "side of the views in pixels; that of the images by default"),
            Option("rounds", "N", "rounds to time, after one that warms up; 20 by default"),
            threadsOption,
            Option(
                "set", "KEY=VALUE", "sets any setting of train below data.augmentation; may be repeated", repeats: true),
            Option("json", "one JSON object instead of a sentence"),
        ],
        notes: """
            In a round every rank makes two views of each of its images, as many as fill 16 MB. They are made as in a
            step, on the rank's threads.
            """
    ) { (arguments: Arguments, ranks: any Ranks) throws -> ExitStatus in
        let (augmentation, size, viewSize, threads, rounds) = try ranks.agree {
            let size = try arguments.number("size", in: 2...ImageShape.longestSide, default: 32)
            let viewSize = try arguments.number("view-size", in: 2...ImageShape.longestSide, default: size)
            let recipe: AugmentationRecipe = try arguments.choice("recipe", default: .simclr)
            let typed = try JSONValue.settings(typed: arguments.all("set"))
            if let other = typed.flatMap(\.leaves).first(where: { !$0.hasPrefix("data.augmentation.") }) {
                throw InputError("--set \(other) has no effect on views: only settings of data.augmentation have")
            }
            let layers = [JSONValue.leaf("data.augmentation.recipe", .string(recipe.rawValue))] + typed
            let augmentation = try Configuration<DeepInfoMax>(layers: layers).data.augmentation
            try augmentation.check(shape: ImageShape(height: size, width: size, channels: 3), side: viewSize)
            return (
                augmentation, size, viewSize, try arguments.number("threads", in: 0...1024, default: 0),
                try arguments.number("rounds", in: 1...1_000_000, default: 20)
            )
        }
        let device = try Program.device(threads: threads, ranks: ranks)
        let shape = ImageShape(height: size, width: size, channels: 3)
        let valuesOfView = viewSize * viewSize * shape.channels
        let count = max(1, (1 << 21) / max(valuesOfView, shape.size))
        var stream = RandomStream(seed: 0, purpose: .synthetic, sample: ranks.rank)
        let dataset = ImageDataset(
            bytes: (0..<count * shape.size).map { _ in UInt8(truncatingIfNeeded: stream.word()) }, shape: shape)
        let half = [Double](repeating: 0.5, count: shape.channels)
        let normalisation = Normalisation(mean: half, deviation: half)
        let views = device.tensor([2 * count, viewSize, viewSize, shape.channels])
        var seconds: [Double] = []
        for round in 0...rounds {
            try ranks.barrier()
            let start = ContinuousClock.now
            for view in 0..<2 {
                dataset.fill(
                    views.base + view * count * valuesOfView, indices: Array(0..<count), normalisation: normalisation,
                    augmentation: augmentation, seed: 0, epoch: round, view: view, side: viewSize, isParallel: true)
            }
            try ranks.barrier()
            if round > 0 { seconds.append(start.duration(to: .now) / .seconds(1)) }
        }
        try tell(by: ranks) {
            let speeds = seconds.map { Double(2 * count * ranks.worldSize) / $0 }.sorted()
            let report = ViewsReport(
                viewsPerSecond: (speeds[speeds.count / 2] + speeds[(speeds.count - 1) / 2]) / 2,
                lowestViewsPerSecond: speeds[0], highestViewsPerSecond: speeds[speeds.count - 1],
                recipe: augmentation.recipe.rawValue, size: size, viewSize: viewSize, ranks: ranks.worldSize,
                threads: device.threads)
            return arguments.has("json") ? try json(report) : report.text
        }
        return .success
    }
}
