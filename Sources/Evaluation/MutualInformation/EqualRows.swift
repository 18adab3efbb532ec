import Collectives
import Tensors

/// Which rows of a set are copies of one another, in x and in y: a critic that is trained on a row knows its copy by
/// heart, so that both belong in the same part of a split.
///
/// Equal rows aren't always copies. Where a row's x and its y both occur with other partners too, as 0 mm of rain at two
/// stations do, or where both sides are labels, the same pair may be drawn again and again.
struct EqualRows {
    /// By row of the whole set: the first row that it is a copy of, which may be itself.
    let first: [Int32]
    /// Rows that are copies of an earlier one.
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

    /// What occurs more than once.
    private static func repeated(_ keys: [UInt64]) -> Set<UInt64> {
        var (once, more): (Set<UInt64>, Set<UInt64>) = ([], [])
        for key in keys where !once.insert(key).inserted { more.insert(key) }
        return more
    }

    /// A number for each row of all ranks: the same for equal rows, and for others by a chance of one in 2^64. Swift's own
    /// hashes differ between processes.
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

    /// The order with each row's copies right behind the first of them that it has.
    func together(_ order: [Int32]) -> [Int32] {
        guard copies > 0 else { return order }
        var members: [Int32: [Int32]] = [:]
        for row in order { members[first[Int(row)], default: []].append(row) }
        return order.flatMap { row in members.removeValue(forKey: first[Int(row)]) ?? [] }
    }

    /// The first place at or after this one where a new row begins, in an order with copies together.
    func start(at place: Int, of order: [Int32]) -> Int {
        var place = place
        while place > 0, place < order.count, first[Int(order[place])] == first[Int(order[place - 1])] { place += 1 }
        return place
    }

    /// One of each of these rows, copies being together.
    func unique(_ rows: some Sequence<Int32>) -> [Int32] {
        var last: Int32?
        return rows.filter { row in
            defer { last = first[Int(row)] }
            return last != first[Int(row)]
        }
    }

    /// By how much a standard error that takes these rows, copies being together, for samples of their own is too small:
    /// the root of the design effect Σm²/Σm of clusters of m equal rows (Kish 1965).
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
