import Tensors

/// Which training rows are held out to choose by: each by chance, the same at every world size.
struct HeldOutRows {
    /// Of the rows, in 0...1.
    let share: Float
    let seed: UInt64

    /// - Parameter row: global index.
    func contains(_ row: Int) -> Bool {
        var stream = RandomStream(seed: seed, purpose: .validationSplit, sample: row)
        return stream.uniform() < share
    }
}
