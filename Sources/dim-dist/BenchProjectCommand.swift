import Collectives
import Foundation
import Tensors
import Training

/// A row of what `bench project` prints; times in milliseconds.
private struct ProjectedStep: Encodable {
    let nodes: Int
    let ranks: Int
    let images: Int
    let node: Double
    let loss: Double
    let exchanges: Double
    let gradients: Double
    let step: Double
    let efficiency: Double
    let imagesPerSecond: Double

    private enum CodingKeys: String, CodingKey {
        case nodes, images, efficiency
        case ranks = "world_size"
        case node = "node_ms"
        case loss = "loss_ms"
        case exchanges = "exchanges_ms"
        case gradients = "gradients_ms"
        case step = "step_ms"
        case imagesPerSecond = "images_per_second"
    }

    init(_ step: Projection.Step, ranks: Int, batch: Int, first: Double) {
        nodes = step.nodes
        self.ranks = ranks * step.nodes
        images = batch * step.nodes
        node = step.node * 1000
        loss = step.loss * 1000
        exchanges = step.exchanges * 1000
        gradients = step.gradients * 1000
        self.step = step.total * 1000
        efficiency = first / step.total
        imagesPerSecond = Double(batch * step.nodes) / step.total
    }

    var text: String {
        String(
            format: "%6ld %7ld %8ld %8.1f %8.1f %10.2f %10.2f %8.1f %9.0f %% %10.0f", nodes, ranks, images, node, loss,
            exchanges, gradients, step, 100 * efficiency, imagesPerSecond)
    }
}

extension Program {
    static let benchProject = Command(
        name: "bench project", summary: "Predict the step on more nodes from its pieces on this one and a network.",
        usage: "--nodes 2,8,64 --bandwidth 25Gb --latency 5us [--units U] [--batch B|--batch-per-rank B] [--json]",
        options: StepRequest.options + [
            Option("nodes", "LIST", "how many, with commas between them; each with as many ranks as now"),
            Option("bandwidth", "RATE", "of a node's link: 25Gb, 100Mb (bits a second), 3GB (bytes)"),
            Option("latency", "TIME", "between nodes: 5us, 0.5ms"),
            Option("json", "one JSON array instead of a table"),
        ],
        notes: """
            Start it with the ranks of one node; each node more brings as large a batch. What the ranks of a node do and exchange is taken as measured; the loss grows
            with the number of nodes, for each rank scores its images with those of all; sums take the better of recursive
            doubling and a ring, gathers a latency for each doubling; gradients are counted as if none of them were summed
            behind backward, of which little is hidden over TCP. Give the bandwidth and latency that MPI reaches.
            Waits for nodes that are slower than others are not in it; nor is it that scores which don't fit one tile are
            made twice, which costs a third more of the loss and of the critic's units.
            """
    ) { (arguments: Arguments, ranks: any Ranks) throws -> ExitStatus in
        let (request, nodes, network) = try ranks.agree {
            (try StepRequest(arguments, ranks: ranks), try arguments.nodes(), try arguments.network())
        }
        return try project(request.kind.type, request, nodes, network, arguments, ranks)
    }

    private static func project<M: Method>(
        _ method: M.Type, _ request: StepRequest, _ nodes: [Int], _ network: Network, _ arguments: Arguments,
        _ ranks: any Ranks
    ) throws -> ExitStatus {
        let configuration = try ranks.agree { try Configuration<M>(layers: request.layers) }
        let device = try Program.device(threads: configuration.threads, ranks: ranks)
        let benchmark = try StepBenchmark(configuration, device: device, ranks: ranks)
        let run = try benchmark.run(steps: request.steps)
        try tell(by: ranks) {
            let projection = Projection(
                run.timeline, step: run.median / 1000, steps: request.steps, ranks: ranks.worldSize,
                gradientBytes: benchmark.gradientBytes)
            let first = projection.step(nodes: 1, over: network).total
            let rows = ([1] + nodes).map {
                ProjectedStep(
                    projection.step(nodes: $0, over: network), ranks: ranks.worldSize, batch: configuration.batch,
                    first: first)
            }
            if arguments.has("json") { return try json(rows) }
            let title =
                " nodes   ranks   images     node     loss  exchanges  gradients  step ms  efficiency   images/s"
            return ([title] + rows.map(\.text)).joined(separator: "\n")
        }
        return .success
    }
}

extension Arguments {
    fileprivate func nodes() throws -> [Int] {
        let text = try required("nodes")
        return try text.split(separator: ",", omittingEmptySubsequences: false).map {
            guard let number = Int($0), (1...1 << 20).contains(number) else {
                throw InputError(
                    "--nodes \(text): whole numbers from 1 to \(1 << 20) with commas between them, as 2,8,64")
            }
            return number
        }
    }

    fileprivate func network() throws -> Network {
        let rates = [("Gb", 1e9 / 8), ("Mb", 1e6 / 8), ("GB", 1e9), ("MB", 1e6)]
        let times = [("us", 1e-6), ("ms", 1e-3), ("s", 1.0)]
        return Network(
            latency: try quantity("latency", units: times, example: "5us"),
            bandwidth: try quantity("bandwidth", units: rates, example: "25Gb"))
    }

    private func quantity(_ name: String, units: [(String, Double)], example: String) throws -> Double {
        let text = try required(name)
        for (unit, factor) in units where text.hasSuffix(unit) {
            if let number = Double(text.dropLast(unit.count)), number > 0 && number.isFinite { return number * factor }
        }
        throw InputError(
            "--\(name) \(text): a number above 0 and one of \(units.map(\.0).joined(separator: ", ")), as \(example)")
    }
}
