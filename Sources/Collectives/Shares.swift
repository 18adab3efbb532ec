/// How a global batch is divided among the ranks: rank r has `counts[r]` consecutive images, possibly none.
package struct Shares: Sendable {
    package let counts: [Int]
    package let rank: Int

    package init(counts: [Int], rank: Int) {
        self.counts = counts
        self.rank = rank
    }

    /// Images of the global batch.
    package var total: Int { counts.reduce(0, +) }
    /// Images of this rank.
    package var own: Int { counts[rank] }
    /// Index in the global batch of this rank's first image.
    package var first: Int { counts[..<rank].reduce(0, +) }
}
