import Collectives
import Tensors

/// The rows of a set that are copies of one another, in x and in y. A critic that is trained on a row also knows its
/// copy, so both must be in the same part of a split.
///
/// Equal rows aren't always copies. The same pair may be drawn again and again where both sides are labels. So it may
/// where a row's x and its y both occur with other partners too, such as 0 mm of rain at two stations.
struct EqualRows {
    /// For each row of the whole set: the first row that it equals, which may be itself.
    let first: [Int32]
    /// Number of rows that are copies of an earlier one.
    let copies: Int

    private struct Pair: Hashable { let x, y: UInt64 }

    /// Collective; the same on every rank.
    /// - Parameters:
    ///   - x, y: this rank's rows, [n, Dx] and [n, Dy].
    ///   - areLabels: whether all columns of both have few values.
    init(x: Tensor, y: Tensor, areLabels: Bool, ranks: any Ranks) throws {
        let (x, y) = (try Self.keys(x, ranks: ranks), try Self.keys(y, ranks: ranks))
        var seen: [Pair: Int32] = [:]
        var first = [Int32](unsafeUninitializedCapacity: x.count) { _, count in count = 0 }
        for (row, pair) in zip(x, y).enumerated() {
            let pair = Pair(x: pair.0, y: pair.1)
            let known = seen[pair] ?? Int32(row)
            if known == row { seen[pair] = known }
            first.append(known)
        }
        if areLabels || seen.count == x.count {
            self.first = Array(0..<Int32(x.count))
            copies = 0
            return
        }
        let (xMeetsMany, yMeetsMany) = (Self.repeated(seen.keys.map(\.x)), Self.repeated(seen.keys.map(\.y)))
        var copies = 0
        for row in x.indices where first[row] != row {
            if xMeetsMany.contains(x[row]) && yMeetsMany.contains(y[row]) {
                first[row] = Int32(row)
            } else {
                copies += 1
            }
        }
        (self.first, self.copies) = (first, copies)
    }

    /// The keys that occur more than once.
    private static func repeated(_ keys: [UInt64]) -> Set<UInt64> {
        var (once, more): (Set<UInt64>, Set<UInt64>) = ([], [])
        for key in keys where !once.insert(key).inserted { more.insert(key) }
        return more
    }

    /// A key for each row of all ranks, the same for equal rows. Two different rows have the same key with a
    /// probability of 2^-64. (Swift's own hashes differ between processes.)
    private static func keys(_ values: Tensor, ranks: any Ranks) throws -> [UInt64] {
        let own = (0..<values.shape[0]).map { row -> UInt64 in
            var key: UInt64 = 0xCBF2_9CE4_8422_2325
            for c in 0..<values.shape[1] {
                let value = values.matrix.row(row)[c] + 0  // -0 is 0
                key = (key ^ UInt64(value.bitPattern)) &* 0x9E37_79B9_7F4A_7C15
                key ^= key >> 29
            }
            return key
        }
        return try ranks.gather(own, filler: 0)
    }

    /// The order with each row's copies right after the first of them.
    func together(_ order: [Int32]) -> [Int32] {
        guard copies > 0 else { return order }
        var members: [Int32: [Int32]] = [:]
        for row in order { members[first[Int(row)], default: []].append(row) }
        return order.flatMap { row in members.removeValue(forKey: first[Int(row)]) ?? [] }
    }

    /// The first position, from this one on, where a new row begins, in an order with copies together.
    func start(at position: Int, of order: [Int32]) -> Int {
        var position = position
        while position > 0, position < order.count, first[Int(order[position])] == first[Int(order[position - 1])] {
            position += 1
        }
        return position
    }

    /// These rows without copies, in an order with copies together.
    func unique(_ rows: some Sequence<Int32>) -> [Int32] {
        var last: Int32?
        return rows.filter { row in
            defer { last = first[Int(row)] }
            return last != first[Int(row)]
        }
    }

    /// The factor by which a standard error is too small that takes these rows for independent: the root of the design
    /// effect Σm²/Σm of clusters of m equal rows (Kish 1965). The order has copies together.
    func errorFactor(of rows: some Sequence<Int32>) -> Double {
        var (sum, squares, size) = (0.0, 0.0, 0.0)
        var last: Int32?
        for row in rows {
            if last != first[Int(row)] {
                squares += size * size
                size = 0
            }
            last = first[Int(row)]
            (sum, size) = (sum + 1, size + 1)
        }
        squares += size * size
        return sum > 0 ? (squares / sum).squareRoot() : 1
    }
}
