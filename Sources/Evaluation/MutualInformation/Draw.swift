import Autodiff
import Collectives
import Tensors

/// The rows of a batch that each rank holds. The batch is drawn from the whole set without regard to ranks.
struct Draw {
    let shares: Shares
    /// This rank's rows of the batch, counted from its first row.
    let ownRows: [Int]

    /// - Parameters:
    ///   - globalRows: indices in the whole set.
    ///   - held: number of rows of the set that each rank holds.
    init(_ globalRows: some Sequence<Int32>, held: Shares) {
        var ends: [Int] = []
        for count in held.counts { ends.append((ends.last ?? 0) + count) }
        var drawn = [Int](repeating: 0, count: held.counts.count)
        var ownRows: [Int] = []
        for row in globalRows {
            let owner = ends.firstIndex { row < $0 } ?? 0
            drawn[owner] += 1
            if owner == held.rank { ownRows.append(Int(row) - held.first) }
        }
        shares = Shares(counts: drawn, rank: held.rank)
        self.ownRows = ownRows
    }
}

extension Tensor {
    /// A copy of some rows of [rows, dimension].
    func rows(_ indices: [Int], device: Device) -> Tensor {
        let result = device.tensor([indices.count, shape[1]])
        for (target, row) in indices.enumerated() {
            result.matrix.row(target).update(from: matrix.row(row), count: shape[1])
        }
        return result
    }
}
