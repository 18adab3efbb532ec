import Collectives
import Evaluation
import Tensors

/// Features whose row i is `sample(i)`, spread evenly or as `counts` says.
func makeFeatures(
    rows: Int, classes: Int, ranks: any Ranks, device: Device, counts: [Int]? = nil,
    sample: (Int) -> (values: [Float], label: Int)
) throws -> Features {
    let counts = counts ?? (0..<ranks.worldSize).map { rows * ($0 + 1) / ranks.worldSize - rows * $0 / ranks.worldSize }
    let first = counts[..<ranks.rank].reduce(0, +)
    let own = (first..<first + counts[ranks.rank]).map(sample)
    let dimension = sample(0).values.count
    return try Features(
        values: device.tensor([own.count, dimension], own.flatMap(\.values)), labels: own.map(\.label),
        classes: classes, ranks: ranks)
}

/// The results of each rank's body, in rank order.
func onRanks<Result: Sendable>(
    _ worldSize: Int, _ body: @escaping @Sendable (any Ranks, Device) throws -> Result
) throws -> [Result] {
    try ThreadRank.run(worldSize) { try body($0, Device(threads: 1)) }
}

extension RandomStream {
    /// The stream of one made-up row.
    init(row: Int, seed: UInt64 = 3) { self.init(seed: seed, purpose: .synthetic, sample: row) }
}

/// Two classes of unit normal rows with means (±distance/2, 0): no classifier is right more often than Φ(distance/2).
func twoBlobs(distance: Float) -> (Int) -> (values: [Float], label: Int) {
    { row in
        var stream = RandomStream(row: row)
        let label = stream.index(below: 2)
        return ([(Float(label) - 0.5) * distance + stream.normal(), stream.normal()], label)
    }
}

/// Four blobs around (±2, ±2), deviation 0.5; the class says whether the signs agree. No line parts them.
func exclusiveOr(_ row: Int) -> (values: [Float], label: Int) {
    var stream = RandomStream(row: row)
    let (a, b) = (stream.index(below: 2), stream.index(below: 2))
    return (
        [Float(4 * a - 2) + 0.5 * stream.normal(), Float(4 * b - 2) + 0.5 * stream.normal()], a == b ? 1 : 0
    )
}
