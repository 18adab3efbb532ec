import Collectives

/// A measured step, split into the time that depends on the number of nodes and the time that doesn't. Scaling is weak:
/// every rank keeps the number of images that it was measured with.
struct Projection {
    /// A collective of a step.
    private struct Exchange {
        enum Kind { case sum, gather, scatteredSum }

        let kind: Kind
        /// Bytes for the measured global batch. For a sum: each rank's; for the others: all ranks' together.
        let bytes: Double
        /// Whether its size grows with the global batch.
        let growsWithBatch: Bool
    }

    /// Seconds of a step on a number of nodes.
    struct Step {
        let nodes: Int
        /// Layers, optimiser, data, and the exchanges and waits within a node: as measured.
        let node: Double
        /// Scores of a rank's images with those of all nodes.
        let loss: Double
        /// Batch statistics and numbers of the loss, over the network.
        let exchanges: Double
        /// Gradients, over the network.
        let gradients: Double

        var total: Double { node + loss + exchanges + gradients }
    }

    private let node: Double
    private let loss: Double
    /// The collectives of all steps in the timeline.
    private let exchanges: [Exchange]
    private let steps: Double
    private let gradientBytes: Double

    /// - Parameters:
    ///   - step: seconds of a step on one node.
    ///   - steps: number of steps in the timeline.
    ///   - gradientBytes: bytes of gradients that a step sums over nodes.
    init(_ timeline: Timeline, step: Double, steps: Int, ranks: Int, gradientBytes: Int) {
        let pieces = timeline.pieces
        // This piece is the loss's own computation, forward. It contains the gradient's.
        loss = pieces.filter { $0.name == Self.lossName }.reduce(0) { $0 + $1.own } / Double(steps)
        node = step - loss
        self.gradientBytes = Double(gradientBytes)
        self.steps = Double(steps)
        exchanges = pieces.compactMap { piece in
            let grows = piece.outer.map { pieces[$0].name == Self.lossName } ?? false
            let bytes = Double(piece.work.bytes)
            switch piece.name {
            case "sum", "maximum": return Exchange(kind: .sum, bytes: bytes, growsWithBatch: grows)
            case "gather": return Exchange(kind: .gather, bytes: bytes * Double(ranks), growsWithBatch: true)
            case "sum, scattered": return Exchange(kind: .scatteredSum, bytes: bytes, growsWithBatch: true)
            default: return nil
            }
        }
    }

    private static let lossName = "contrastive loss"

    func step(nodes: Int, over network: Network) -> Step {
        let factor = Double(nodes)
        let exchanged = exchanges.reduce(0) { sum, exchange in
            let bytes = exchange.bytes * (exchange.growsWithBatch ? factor : 1)
            switch exchange.kind {
            case .sum: return sum + network.allReduce(bytes: bytes, nodes: nodes)
            case .gather, .scatteredSum: return sum + network.gather(bytes: bytes, nodes: nodes)
            }
        }
        return Step(
            nodes: nodes, node: node, loss: loss * factor, exchanges: exchanged / steps,
            gradients: network.allReduce(bytes: gradientBytes, nodes: nodes))
    }
}
