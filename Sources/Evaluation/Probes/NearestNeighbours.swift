import Collectives
import Tensors

/// Classification by the most similar training rows, without training (Wu et al. 2018).
package struct NearestNeighbours {
    /// Number of neighbours that vote, at least 1; all training rows where there are fewer.
    package var count = 20
    /// A neighbour's vote weighs exp(cosine similarity / temperature); above 0.
    package var temperature = 0.07

    package init() {}

    // Products always have these sizes, filled up with zeros. The rounding of a product depends on its size, so with
    // other sizes it would depend on the world size.
    private static let trainingBlock = 1024
    private static let testBlock = 256

    /// Notes on the accuracy, for a number of training rows.
    func notes(trainingRows rows: Int) -> [String] {
        rows < count ? ["there are fewer than \(count) training rows, so all \(rows) vote"] : []
    }

    /// Fraction of the test rows that are classified correctly, in 0...1. Of equally similar training rows, the first
    /// in the set counts as nearer, so that the result doesn't depend on the world size. Collective; the same on every
    /// rank.
    /// - Throws: `InputError` for settings out of range or features that don't fit together.
    package func callAsFunction(
        train: Features, test: Features, ranks: any Ranks, device: Device, progress: (String) -> Void = { _ in }
    ) throws -> Double {
        try check(train: train, test: test)
        guard count >= 1 && temperature > 0 else {
            throw InputError("\(count) neighbours with temperature \(temperature): they must be at least 1 and above 0")
        }
        let labels = try ranks.gather(train.labels.map { Int32($0) }, filler: 0)
        let own = test.labels.count
        let paddedRows = (own + Self.testBlock - 1) / Self.testBlock * Self.testBlock
        let queries = device.tensor([paddedRows, test.dimension])
        queries.setUnitRows(of: test.values.matrix)
        let block = device.tensor([Self.trainingBlock, train.dimension])
        let similarities = device.tensor([Self.testBlock, Self.trainingBlock])
        var nearest = NearestRows(queries: own, count: min(count, train.rows))

        var seen = 0
        for (root, rows) in train.shares.counts.enumerated() {
            for start in stride(from: 0, to: rows, by: Self.trainingBlock) {
                let size = min(Self.trainingBlock, rows - start)
                if ranks.rank == root { block.setUnitRows(of: train.values.matrix[rows: start..<start + size]) }
                try ranks.broadcast(UnsafeMutableRawBufferPointer(block.elements), from: root)
                for first in stride(from: 0, to: own, by: Self.testBlock) {
                    try multiply(
                        queries.matrix[rows: first..<first + Self.testBlock], block.matrix.transposed,
                        into: similarities.matrix)
                    for r in 0..<min(Self.testBlock, own - first) {
                        nearest.offer(similarities.matrix.row(r), count: size, firstRow: seen, to: first + r)
                    }
                }
                let tenth = 10 * seen / train.rows
                seen += size
                if 10 * seen / train.rows > tenth {
                    progress("nearest neighbours: \(seen) of \(train.rows) training rows compared")
                }
            }
        }
        let correct = (0..<own).reduce(0) { sum, query in
            sum + (vote(nearest.of(query), labels: labels, classes: train.classes) == test.labels[query] ? 1 : 0)
        }
        return Double(try ranks.sum([correct])[0]) / Double(test.rows)
    }

    /// The class with the most votes; of equals, the first one.
    private func vote(_ neighbours: some Sequence<(similarity: Float, row: Int)>, labels: [Int32], classes: Int) -> Int
    {
        var votes = [Double](repeating: 0, count: classes)
        for (similarity, row) in neighbours {
            votes[Int(labels[row])] += ((Double(similarity) - 1) / temperature).exponential
        }
        return votes.indices.reduce(0) { votes[$1] > votes[$0] ? $1 : $0 }
    }
}

/// The most similar rows offered to each query so far, most similar first.
struct NearestRows {
    private let count: Int
    private var similarities: [Float]
    private var rows: [Int32]

    init(queries: Int, count: Int) {
        self.count = count
        similarities = Array(repeating: -.infinity, count: queries * count)
        rows = Array(repeating: 0, count: queries * count)
    }

    /// Offers consecutive rows from `firstRow` on. Rows must be offered in order. Of equally similar rows, the first
    /// stays ahead.
    mutating func offer(
        _ candidates: UnsafeMutablePointer<Float>, count candidateCount: Int, firstRow: Int, to query: Int
    ) {
        let last = (query + 1) * count - 1
        similarities.withUnsafeMutableBufferPointer { similarities in
            var threshold = similarities[last]
            var start = 0
            while start < candidateCount {
                let end = min(start + 64, candidateCount)
                // In nearly every run all candidates fail. This loop has no branches, so that the compiler vectorises
                // it.
                var passed: UInt32 = 0
                for i in start..<end { passed |= candidates[i] > threshold ? 1 : 0 }
                if passed == 0 {
                    start = end
                    continue
                }
                for i in start..<end where candidates[i] > threshold {
                    var slot = last
                    while slot > query * count && similarities[slot - 1] < candidates[i] {
                        similarities[slot] = similarities[slot - 1]
                        rows[slot] = rows[slot - 1]
                        slot -= 1
                    }
                    similarities[slot] = candidates[i]
                    rows[slot] = Int32(firstRow + i)
                    threshold = similarities[last]
                }
                start = end
            }
        }
    }

    func of(_ query: Int) -> some Sequence<(similarity: Float, row: Int)> {
        (query * count..<(query + 1) * count).lazy.map { (similarities[$0], Int(rows[$0])) }
    }
}

extension Tensor {
    /// Copies rows, each scaled to length 1 (rows of zeros stay so), and fills the rest with 0.
    fileprivate func setUnitRows(of source: Matrix) {
        for r in 0..<source.rows {
            let (input, output) = (source.row(r), matrix.row(r))
            var square = 0.0
            for c in 0..<source.columns { square += Double(input[c]) * Double(input[c]) }
            let factor = square > 0 ? 1 / square.squareRoot() : 0
            for c in 0..<source.columns { output[c] = Float(Double(input[c]) * factor) }
        }
        elements[(source.rows * source.columns)...].update(repeating: 0)
    }
}
