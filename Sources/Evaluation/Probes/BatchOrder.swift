import Autodiff
import Collectives
import Tensors

/// Rows of a set in random order, a batch at a time, epoch after epoch. The batches are the same at every world size.
///
/// Within a batch rows are in the set's order, so that the ranks' parts one after another are the batch in that order.
struct BatchOrder {
    /// Rows of a batch, over all ranks.
    let batch: Int
    /// What is left over after these has its turn in another epoch's order.
    let batchesPerEpoch: Int
    private let rows: [Int32]
    private let shares: Shares
    private let seed: UInt64
    private var epoch = -1
    private var order: [Int32] = []

    /// - Parameters:
    ///   - rows: which rows of the set, as global indices; at least one, the same on every rank.
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
        let (epoch, place) = step.quotientAndRemainder(dividingBy: batchesPerEpoch)
        if epoch != self.epoch {
            var stream = RandomStream(seed: seed, purpose: .permutation, step: epoch)
            order = stream.permutation(of: rows.count)
            self.epoch = epoch
        }
        return Draw(order[place * batch..<(place + 1) * batch].map { rows[Int($0)] }.sorted(), held: shares)
    }
}
