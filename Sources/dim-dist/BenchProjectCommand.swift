import Collectives
import Foundation
import Tensors
import Training

/// A row of the report that `bench project` prints; times in milliseconds.
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
        name: "bench project",
        summary: "Predict the step on more nodes, from its pieces on this node and the speed of a network.",
        usage: "--nodes 2,8,64 --bandwidth 25Gb --latency 5us [--units U] [--batch B|--batch-per-rank B] [--json]",
        options: StepRequest.options + [
            Option("nodes", "LIST", "numbers of nodes, separated by commas; each node has as many ranks as now"),
            Option(
                "bandwidth", "RATE",
                "bandwidth of a node's link: 25Gb, 100Mb (bits a second), 3GB (bytes a second)"),
            Option("latency", "TIME", "latency between nodes: 5us, 0.5ms"),
            Option("json", "one JSON array instead of a table"),
        ],
        notes: """
            Start it with the ranks of one node. Each further node brings a batch of the same size. The model:
              node       work and exchanges of a node's ranks: as measured.
              loss       grows with the number of nodes, for each rank scores its images with those of all.
              exchanges  sums by recursive doubling or a ring, the faster; gathers take a latency for each doubling.
              gradients  summed after backward. (Over TCP, little of that time is hidden by backward.)
            Give the bandwidth and latency that MPI reaches. The prediction leaves out waits for slower nodes. It also
            leaves out that scores which don't fit one tile are computed twice, which costs a third more of the loss and
            of the critic's units.
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
        let device = try Program.device(
            threads: configuration.threads, precision: configuration.precision, ranks: ranks)
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
                    "--nodes is \(text): it must be whole numbers from 1 to \(1 << 20), separated by commas, such as "
                        + "2,8,64")
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
            "--\(name) is \(text): it must be a number above 0 with one of the units "
                + "\(units.map(\.0).joined(separator: ", ")), such as \(example)")
    }
}
