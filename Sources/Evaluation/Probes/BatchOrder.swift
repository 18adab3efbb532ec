import Autodiff
import Collectives
import Tensors

/// Batches of a set's rows in random order, epoch after epoch. They are the same at every world size.
///
/// Within a batch, rows are in the set's order, so that the ranks' parts, one after another, are the whole batch in
/// order.
struct BatchOrder {
    /// Rows of a batch, over all ranks.
    let batch: Int
    /// Batches of an epoch. Rows left over after them come in other epochs.
    let batchesPerEpoch: Int
    private let rows: [Int32]
    private let shares: Shares
    private let seed: UInt64
    private var epoch = -1
    private var order: [Int32] = []

    /// - Parameters:
    ///   - rows: global indices of rows of the set, at least one, the same on every rank.
    ///   - shares: of the whole set.
    ///   - batch: at least 1; all rows where there are fewer.
    init(rows: [Int32], shares: Shares, batch: Int, seed: UInt64) {
        self.rows = rows
        self.shares = shares
        self.batch = min(batch, rows.count)
        self.seed = seed
        batchesPerEpoch = rows.count / self.batch
    }

    /// The batch of this step, counted from 0.
    mutating func draw(step: Int) -> Draw {
        let (epoch, index) = step.quotientAndRemainder(dividingBy: batchesPerEpoch)
        if epoch != self.epoch {
            var stream = RandomStream(seed: seed, purpose: .permutation, step: epoch)
            order = stream.permutation(of: rows.count)
            self.epoch = epoch
        }
        return Draw(order[index * batch..<(index + 1) * batch].map { rows[Int($0)] }.sorted(), held: shares)
    }
}
