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

    /// What a reader has to know where so few rows leave none to choose by, or none to fit; nil as a rule.
    func remark(rows: Int) -> String? {
        let held = (0..<rows).count { contains($0) }
        guard held == 0 || held == rows else { return nil }
        let those = "\(rows) training row\(rows == 1 ? "" : "s")"
        return "\(those): too few to hold some out, so settings weren't chosen by any"
    }
}
