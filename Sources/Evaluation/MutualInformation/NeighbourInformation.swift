import Collectives
import Tensors

/// Mutual information by distances to nearest neighbours, without training. It is the first form of Kraskov, Stögbauer
/// & Grassberger 2004. For rows with at least as many equal rows as neighbours, it is that of Gao et al. 2017.
///
/// Distances are the largest difference over columns. Let ε_i be the distance of row i to its k-th neighbour in x and y
/// together, and n_x, n_y the number of rows nearer than ε_i in x and in y, itself included. Then
///
///     I = ψ(k) + ψ(N) - mean of (ψ(n_x) + ψ(n_y)).
///
/// Where ε_i is 0, k is the number of rows equal to row i, and n_x, n_y the number equal to it in x and in y, itself
/// included. With more than a few columns, neighbours aren't near and the value is too low.
package struct NeighbourInformation: Sendable {
    package let nats: Double
    /// Standard error of the mean over rows, as if they were independent.
    package let standardError: Double
    package let rows: Int

    /// Most columns of each side.
    package static let mostColumns = 5
    /// k.
    package static let neighbours = 3
}

extension NeighbourInformation {
    /// Collective; the same on every rank and, to rounding, at every world size.
    /// - Parameters:
    ///   - x, y: all ranks' rows [N, Dx] and [N, Dy], the same on every rank, all finite; N is at least 5. Columns are
    ///     in comparable units.
    init(x: Tensor, y: Tensor, ranks: any Ranks) throws {
        let count = x.shape[0]
        let joint = Neighbourhood(x, y)
        let (xOnly, yOnly) = (Neighbourhood(x), Neighbourhood(y))
        var digamma = [0, -0.577_215_664_901_532_9]  // ψ(n) at n
        for n in 1..<count { digamma.append(digamma[n] + 1 / Double(n)) }
        var (sum, squares) = (0.0, 0.0)
        for row in count * ranks.rank / ranks.worldSize..<count * (ranks.rank + 1) / ranks.worldSize {
            let distance = joint.distance(from: row, neighbour: Self.neighbours)
            let near = distance > 0 ? Self.neighbours : joint.count(around: row, within: 0)
            let others =
                digamma[xOnly.count(around: row, within: distance)]
                + digamma[yOnly.count(around: row, within: distance)]
            let value = digamma[near] + digamma[count] - others
            (sum, squares) = (sum + value, squares + value * value)
        }
        let totals = try ranks.sum([sum, squares])
        let mean = totals[0] / Double(count)
        let variance = max(0, totals[1] / Double(count) - mean * mean)
        self.init(nats: mean, standardError: (variance / Double(count)).squareRoot(), rows: count)
    }
}

/// Rows in the order of their first column, so that rows near a row are found without looking at all of them.
private struct Neighbourhood {
    /// The columns of each row, side by side; rows in rising order of the first column.
    private let values: [Float]
    private let width: Int
    /// The position of row i of the data in that order.
    private let positions: [Int]

    /// The columns of all parts, side by side.
    init(_ parts: Tensor...) {
        let count = parts[0].shape[0]
        let first = parts[0].matrix
        let order = (0..<count).sorted { (first.row($0)[0], $0) < (first.row($1)[0], $1) }
        var positions = [Int](repeating: 0, count: count)
        var values: [Float] = []
        for (position, row) in order.enumerated() {
            positions[row] = position
            for part in parts {
                values += UnsafeBufferPointer(start: part.matrix.row(row), count: part.shape[1])
            }
        }
        (self.positions, self.values) = (positions, values)
        width = parts.reduce(0) { $0 + $1.shape[1] }
    }

    private var rows: Int { positions.count }

    /// The distance of a row to its k-th neighbour. At least k other rows must exist.
    func distance(from row: Int, neighbour: Int) -> Float {
        let position = positions[row]
        return values.withUnsafeBufferPointer { values in
            var nearest = [Float](repeating: .infinity, count: neighbour)  // rising
            let own = values.baseAddress! + position * width
            var (below, above) = (position - 1, position + 1)
            while true {
                // The row that is nearer in the first column comes first. When it is too far, so are all that follow.
                let low = below >= 0 ? own[0] - values[below * width] : .infinity
                let high = above < rows ? values[above * width] - own[0] : .infinity
                guard min(low, high) < nearest[neighbour - 1] else { return nearest[neighbour - 1] }
                let other = values.baseAddress! + (low <= high ? below : above) * width
                if low <= high { below -= 1 } else { above += 1 }
                var distance = min(low, high)
                for c in 1..<width { distance = max(distance, abs(own[c] - other[c])) }
                var rank = neighbour - 1
                guard distance < nearest[rank] else { continue }
                while rank > 0, nearest[rank - 1] > distance {
                    nearest[rank] = nearest[rank - 1]
                    rank -= 1
                }
                nearest[rank] = distance
            }
        }
    }

    /// Rows nearer to a row than this distance, or equal to it where the distance is 0; itself included.
    func count(around row: Int, within distance: Float) -> Int {
        let position = positions[row]
        return values.withUnsafeBufferPointer { values in
            let own = values.baseAddress! + position * width
            func isNear(_ difference: Float) -> Bool { distance > 0 ? difference < distance : difference <= 0 }
            // Rows that are near in the first column are a run around it.
            let first = Self.first(in: 0..<position) { isNear(own[0] - values[$0 * width]) }
            let end = Self.first(in: position + 1..<rows) { !isNear(values[$0 * width] - own[0]) }
            guard width > 1 else { return end - first }
            var count = 0
            for position in first..<end {
                let other = values.baseAddress! + position * width
                var largest: Float = 0
                for c in 1..<width { largest = max(largest, abs(own[c] - other[c])) }
                if isNear(largest) { count += 1 }
            }
            return count
        }
    }

    /// The first position from which on the condition holds; the end where it holds nowhere.
    private static func first(in positions: Range<Int>, where holds: (Int) -> Bool) -> Int {
        var (low, high) = (positions.lowerBound, positions.upperBound)
        while low < high {
            let middle = (low + high) / 2
            if holds(middle) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
