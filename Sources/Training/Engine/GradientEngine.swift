import Collectives
import Layers
import Tensors

/// Sums a model's gradients over ranks and updates its parameters.
///
/// The ranks of a node share memory: one copy of parameters and moments, and everyone's gradients. Each of them sums
/// and updates its own slices, so that a gradient is read once and a parameter written once, by one rank, and Adam's
/// work is divided by the ranks of a node. Between nodes the owners of a slice sum theirs over the network, while
/// backward still runs.
package final class GradientEngine {
    /// Why ranks of one machine don't share memory, for the user.
    package var note: String? { node.note }
    private let node: any Node
    private let ranks: any Ranks
    private let timeline: Timeline?
    private let sets: [ParameterSet]
    private let optimisers: [Adam]
    private let buckets: GradientBuckets

    /// Moves parameters, gradients and moments into memory that the node shares. Collective.
    package init(_ model: Model, optimisers: [Adam], ranks: any Ranks) throws {
        let device = model.device
        sets = model.parameterSets
        let count = sets.reduce(0) { $0 + $1.count }
        let node = try ranks.node(sharing: 3 * count * 4, each: count * 4)
        self.node = node
        self.ranks = ranks
        self.optimisers = optimisers
        timeline = device.timeline
        let gradients = try sets.map { try node.memory($0.count) }
        buckets = GradientBuckets(
            sets, gradients: gradients.map { $0.map { $0.baseAddress! } }, node: node, ranks: ranks,
            timeline: device.timeline)
        for (place, (set, optimiser)) in zip(sets, optimisers).enumerated() {
            let count = set.count
            func tensor(_ memory: UnsafeMutableBufferPointer<Float>, _ place: Int) -> Tensor {
                device.tensor([count], at: memory.baseAddress! + place * count, of: node)
            }
            let shared = try node.memory(node.place == 0 ? 3 * count : 0)[0]
            device.memory.countForeign(bytes: count * 4 * (node.place == 0 ? 4 : 1))
            let copies = zip([set.values, optimiser.mean, optimiser.square], 0..<3).map { old, kind in
                let new = tensor(shared, kind)
                for slice in buckets.slices(of: place) {
                    (new.base + slice.lowerBound).update(from: old.base + slice.lowerBound, count: slice.count)
                }
                return new
            }
            set.move(values: copies[0], gradients: tensor(gradients[place][node.place], 0))
            optimiser.move(mean: copies[1], square: copies[2])
        }
        device.memory.trim()  // of the arrays that were moved
        try ranks.waiting("meeting of the node", node.meet)
    }

    /// For `Model.gradients`: takes a gradient that backward has finished, to sum it over nodes while it goes on.
    package var take: ((Tensor) throws -> Void)? { buckets.take }

    /// One step of the optimisers from this rank's part of the gradients, unless the loss or a gradient isn't finite.
    /// Collective; the answer is the same on every rank.
    ///
    /// - Parameters:
    ///   - terms: this rank's parts; sums over ranks afterwards.
    ///   - votes: summed over ranks on the way.
    ///   - rate: the learning rate under an optimiser's settings.
    package func update(
        _ terms: inout LossTerms, votes: [Double] = [], rate: (AdamSettings) -> Double
    ) throws -> (isFinite: Bool, votes: [Double]) {
        var isFinite = try buckets.finish()
        let sums = try ranks.sum(terms.values + votes + [isFinite ? 0 : 1])
        terms.values = Array(sums[..<terms.values.count])
        isFinite = sums[sums.count - 1] == 0 && terms.values.allSatisfy(\.isFinite)
        if isFinite {
            for (place, (set, optimiser)) in zip(sets, optimisers).enumerated() {
                let slices = buckets.slices(of: place)
                timeline.measured("Adam", .optimiser) {
                    timeline?.count(bytes: 4 * 7 * slices.reduce(0) { $0 + $1.count })
                    optimiser.update(set, rate: rate(optimiser.settings), in: slices)
                }
            }
            try ranks.waiting("meeting of the node", node.meet)
        }
        return (isFinite, Array(sums[terms.values.count..<sums.count - 1]))
    }

    /// What this rank is to write of a checkpoint: those of its slices that it stands for among the nodes, of
    /// parameters and moments. Each is some rank's.
    var ownedRegions: [UnsafeMutableBufferPointer<Float>] {
        guard node.standsForOwners else { return [] }
        return zip(sets, optimisers).enumerated().flatMap { place, pair in
            [pair.0.values, pair.1.mean, pair.1.square].flatMap { flat in
                buckets.slices(of: place).map { UnsafeMutableBufferPointer(rebasing: flat.elements[$0]) }
            }
        }
    }
}
