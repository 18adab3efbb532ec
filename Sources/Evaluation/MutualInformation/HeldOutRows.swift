import Tensors

/// A random choice of training rows that are held out to choose settings by. It is the same at every world size.
struct HeldOutRows {
    /// Fraction of the rows, in 0...1.
    let fraction: Float
    let seed: UInt64

    /// - Parameter row: global index.
    func contains(_ row: Int) -> Bool {
        var stream = RandomStream(seed: seed, purpose: .validationSplit, sample: row)
        return stream.uniform() < fraction
    }

    /// A note where there are too few rows to hold some out; usually nil.
    func remark(rows: Int) -> String? {
        let held = (0..<rows).count { contains($0) }
        guard held == 0 || held == rows else { return nil }
        let those = "\(rows) training row\(rows == 1 ? "" : "s")"
        return "\(those): too few to hold some out, so settings weren't chosen by held-out rows"
    }
}
