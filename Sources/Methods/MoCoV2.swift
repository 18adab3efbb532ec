import Autodiff
import Collectives
import Datasets
import Layers
import Networks
import Objectives
import Tensors
import Training

package struct MoCoV2Settings: ProjectedSettings {
    package var encoder = EncoderSettings(code: 256)
    package var projector = HeadSettings()
    package var momentum = Momentum(start: 0.99, end: 0.999)
    /// K, keys of earlier steps.
    package var queue = 4096
    /// τ, by which scores are divided.
    package var temperature = 0.1
    /// Groups of the batch, each with batch norm statistics of its own.
    package var groups = 8
    package var optimiser = OptimiserSettings.ofViews

    /// Of a group, which is the same on any number of ranks.
    package var batchNorm: BatchNormScope { .sync }

    package init() {}

    package static let parts: [String: any SettingsTree.Type] = [
        "encoder": EncoderSettings.self, "projector": HeadSettings.self, "momentum": Momentum.self,
        "optimiser": OptimiserSettings.self,
    ]
    package static let help = [
        "queue": "keys of earlier steps that are negatives, 1 to \(Self.mostKeys)",
        "temperature": "divides the scores, above 0",
        "groups": "parts of the batch with batch norm statistics of their own, 1 to 1024 and at most batch",
    ]

    private static let mostKeys = 1 << 20

    package func check() throws {
        try checkNetwork()
        try momentum.check("momentum")
        try require((1...Self.mostKeys).contains(queue), "queue", queue, "1 to \(Self.mostKeys)")
        try require(temperature >= 1e-3 && temperature <= 1e3, "temperature", temperature, "0.001 to 1000")
        try require((1...1024).contains(groups), "groups", groups, "1 to 1024")
    }
}

/// Momentum contrast (He et al. 2020; version 2: Chen et al. 2020, "Improved Baselines with Momentum Contrastive
/// Learning"). A query from one view has to be like the key from the other, and unlike the keys of earlier steps. Keys come
/// from a slowly following copy of the network.
///
/// Batch norms of whole batches would let a query recognise its key by the statistics that both share. So images pass in
/// groups, and keys are in other groups than queries.
package final class MoCoV2: ProjectedMethod {
    package typealias Settings = MoCoV2Settings

    package static let name = "mocoV2"

    private let settings: MoCoV2Settings
    private let model: ParameterGroup
    /// The network of the queries.
    package let network: ProjectedEncoder
    private let slow: ProjectedEncoder
    /// Keys of earlier steps, the newest first: unit vectors, [K, width].
    private let queue: StateArray

    package static var defaults: Configuration<MoCoV2> { .ofViews }

    package static func recipe(_ settings: MoCoV2Settings, _ data: ViewSettings) throws -> ViewRecipe {
        try data.recipe(ofViews: 2, for: settings.encoder, method: name)
    }

    package init(_ settings: MoCoV2Settings, card: ViewCard, _ declare: Declarations) throws {
        self.settings = settings
        try card.check()
        func branch(_ declare: Declarations) throws -> ProjectedEncoder {
            try settings.network(declare, card: card, last: .linear(bias: false))
        }
        (model, network) = try declare.group("model", .descends(settings.optimiser), branch)
        (_, slow) = try declare.group("key", .follows(model, settings.momentum)) { try branch($0.within("key")) }
        let shape = [settings.queue, settings.projector.width]
        queue = declare.state("queue", Self.directions(shape[0], width: shape[1]), shape: shape)
    }

    /// Random unit vectors, the same in all runs.
    private static func directions(_ count: Int, width: Int) -> [Float] {
        (0..<count).flatMap { row -> [Float] in
            var stream = RandomStream(seed: 0, purpose: .queue, sample: row)
            let values = (0..<width).map { _ in stream.normal() }
            let length = values.reduce(0) { $0 + $1 * $1 }.squareRoot()
            return values.map { $0 / max(length, .leastNormalMagnitude) }
        }
    }

    /// The keys' network isn't a player: it is constant in the pass, and follows afterwards.
    package func turns(at step: Int) -> [Turn] { [Turn(model)] }

    package func terms(_ pass: Pass, _ batch: ViewBatch) throws -> [Term] {
        let (tape, network, slow) = (pass.tape, network, slow)
        let total = tape.shares.total
        guard settings.groups <= total else {
            throw InputError("groups is \(settings.groups), but the batch has \(total) images: lower groups")
        }
        let queryGroups = BatchGroups(settings.groups, of: tape.shares, order: Array(0..<total))
        var stream = pass.random(.groups)
        let keyGroups = BatchGroups(
            settings.groups, of: tape.shares, order: stream.permutation(of: total).map(Int.init))
        let shape = [batch.count] + batch.images.shape.dropFirst()
        let images = (0..<2).map { batch.images.view(from: $0 * shape.reduce(1, *), shape: shape) }  // of each view
        // [n, width] each
        let q = try images.map { images in
            // Consecutive groups have their images in order.
            tape.unitRows(tape.concatenateRows(try queryGroups.apply(pass, images) { try network($0, $1) }))
        }
        let k = try images.map { images in
            let parts = try keyGroups.apply(pass, images) { tape, x in tape.unitRows(try slow(tape, x)) }
            return keyGroups.joined(parts.map(\.value), on: tape.device)
        }
        let earlier = tape.device.tensor(queue.shape, queue.values)
        func contrast(_ query: Int, _ key: Int) throws -> Variable {
            try tape.queueContrast(q[query], keys: k[key], queue: earlier, temperature: settings.temperature)
        }
        let loss = tape.weightedSum([(try contrast(0, 1), 0.5), (try contrast(1, 0), 0.5)])
        let newest = try k.flatMap {
            Array(try tape.ranks.gatherRows($0, shares: tape.shares, device: tape.device).elements)
        }
        // Not before the update is known to be finite, and never before the loss.
        tape.whenSettled { [queue] in queue.values = Array((newest + queue.values).prefix(queue.values.count)) }
        return [
            Term("contrast", 1, loss, ceiling: Double(settings.queue + 1).logarithm), try .deviation(of: q, on: tape),
        ]
    }

    package func summary(batch: Int) -> (networks: String, objective: String) {
        (
            "\(network.encoder), projector \(settings.projector), and a copy that follows with momentum "
                + "\(settings.momentum.start) to \(settings.momentum.end)",
            "a view against its image's other view and \(settings.queue) keys of earlier steps, temperature "
                + "\(settings.temperature); batch norm in \(settings.groups) groups"
        )
    }
}

/// A partition of the global batch into groups of nearly equal size, which pass a network one after the other, so that batch
/// norms have the statistics of a group. It doesn't depend on the number of ranks.
private struct BatchGroups {
    /// This rank's rows of each group. A rank may have none.
    private let rows: [[Int]]

    /// - Parameter order: of the images of the global batch; group g of G has those at floor(g·N/G) and on.
    init(_ count: Int, of shares: Shares, order: [Int]) {
        let own = shares.first..<shares.first + shares.own
        rows = (0..<count).map { group in
            order[group * order.count / count..<(group + 1) * order.count / count].filter(own.contains)
                .map { $0 - own.lowerBound }.sorted()
        }
    }

    /// A network's outputs for the images of each group, of `images` [n, …]: [rows of the group, width] each. Collective,
    /// also on a rank without images.
    func apply(
        _ pass: Pass, _ images: Tensor, _ network: @escaping (Tape, Variable) throws -> Variable
    ) throws -> [Variable] {
        let shape = images.shape.dropFirst()
        let size = shape.reduce(1, *)
        return try rows.map { rows in
            let part = pass.tape.device.tensor([rows.count] + shape)
            for (index, row) in rows.enumerated() {
                (part.base + index * size).update(from: images.base + row * size, count: size)
            }
            return try pass.apply(part, rowsPerSample: 1) { [try network($0, $1)] }[0]
        }
    }

    /// The groups' rows in the order of the images: [n, width].
    func joined(_ parts: [Tensor], on device: Device) -> Tensor {
        let whole = device.tensor([parts.reduce(0) { $0 + $1.shape[0] }, parts[0].shape[1]])
        for (part, rows) in zip(parts, rows) {
            for (index, row) in rows.enumerated() {
                whole.matrix.row(row).update(from: part.matrix.row(index), count: part.shape[1])
            }
        }
        return whole
    }
}
