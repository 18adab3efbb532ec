import Collectives
import Layers
import Tensors

/// Sums a model's gradients over ranks and updates its parameters.
///
/// The ranks of a node share memory: one copy of parameters and moments, and everyone's gradients. Each of them sums
/// and updates its own slice, so that a gradient is read once and a parameter written once, by one rank, and Adam's
/// work is divided by the ranks of a node. Between nodes the owners of a slice sum theirs over the network.
package final class GradientEngine {
    /// A parameter set, and what this rank does of it.
    private struct Share {
        let set: ParameterSet
        let optimiser: Adam
        let slice: Range<Int>
        /// Gradients of the ranks of the node.
        let gradients: [UnsafeMutablePointer<Float>]
    }

    /// Why ranks of one machine don't share memory, for the user.
    package var note: String? { node.note }
    private let node: any Node
    private let ranks: any Ranks
    private let timeline: Timeline?
    private let shares: [Share]

    /// Moves parameters, gradients and moments into memory that the node shares. Collective.
    package init(_ model: Model, optimisers: [Adam], ranks: any Ranks) throws {
        let device = model.device
        let count = model.parameterSets.reduce(0) { $0 + $1.count }
        let node = try ranks.node(sharing: 3 * count * 4, each: count * 4)
        self.node = node
        self.ranks = ranks
        timeline = device.timeline
        shares = try zip(model.parameterSets, optimisers).map { set, optimiser in
            let count = set.count
            let slice = node.slice(of: count)
            func tensor(_ memory: UnsafeMutableBufferPointer<Float>, _ place: Int) -> Tensor {
                device.tensor([count], at: memory.baseAddress! + place * count, of: node)
            }
            let gradients = try node.memory(count)
            let shared = try node.memory(node.place == 0 ? 3 * count : 0)[0]
            device.memory.countForeign(bytes: count * 4 * (node.place == 0 ? 4 : 1))
            let copies = zip([set.values, optimiser.mean, optimiser.square], 0..<3).map { old, place in
                let new = tensor(shared, place)
                (new.base + slice.lowerBound).update(from: old.base + slice.lowerBound, count: slice.count)
                return new
            }
            set.move(values: copies[0], gradients: tensor(gradients[node.place], 0))
            optimiser.move(mean: copies[1], square: copies[2])
            return Share(
                set: set, optimiser: optimiser, slice: slice, gradients: gradients.map { $0.baseAddress! })
        }
        device.memory.trim()  // of the arrays that were moved
        try node.meet()
    }

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
        try measure("meeting of the node", .communication, bytes: 0, node.meet)
        var isFinite = true
        for share in shares {
            try measure("gradient sum", .communication, bytes: 4 * share.slice.count * (node.size + 1)) {
                let own = share.set.gradients
                if !setToSum(of: share.gradients, in: share.slice, own.base) { isFinite = false }
                if node.nodes > 1 && !share.slice.isEmpty {
                    let slice = UnsafeMutableBufferPointer(rebasing: own.elements[share.slice])
                    try node.sumOverNodes(slice)
                    if !own.view(from: share.slice.lowerBound, shape: [share.slice.count]).isFinite { isFinite = false }
                }
            }
        }
        let sums = try ranks.sum(terms.values + votes + [isFinite ? 0 : 1])
        terms.values = Array(sums[..<terms.values.count])
        isFinite = sums[sums.count - 1] == 0 && terms.values.allSatisfy(\.isFinite)
        if isFinite {
            for share in shares {
                measure("Adam", .optimiser, bytes: 4 * 7 * share.slice.count) {
                    share.optimiser.update(share.set, rate: rate(share.optimiser.settings), in: share.slice)
                }
            }
            try measure("meeting of the node", .communication, bytes: 0, node.meet)
        }
        return (isFinite, Array(sums[terms.values.count..<sums.count - 1]))
    }

    private func measure(
        _ name: String, _ kind: Timeline.Kind, bytes: Int, _ body: () throws -> Void
    ) rethrows {
        guard let timeline else { return try body() }
        try timeline.measure(name, kind) {
            timeline.count(bytes: bytes)
            try body()
        }
    }
}
