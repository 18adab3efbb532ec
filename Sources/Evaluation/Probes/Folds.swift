import Collectives
import Tensors

/// Random parts of a small training set, each of which is held out once. Every part has about the same number of rows
/// of each class. They are the same at every world size.
struct Folds {
    /// Number of folds that can be held out: 0 where no class has two rows, for then nothing is learned about a class
    /// that is held out.
    let count: Int
    /// The fold of each of this rank's rows, in 0..<most.
    let own: [Int]

    /// Collective.
    /// - Parameter most: number of folds, at least 2; some are empty where there are fewer rows.
    init(of features: Features, most: Int, seed: UInt64, ranks: any Ranks) throws {
        var classes = [[(key: UInt64, row: Int)]](repeating: [], count: features.classes)
        for (row, label) in try ranks.gather(features.labels.map { Int32($0) }, filler: 0).enumerated() {
            var stream = RandomStream(seed: seed, purpose: .validationSplit, sample: row)
            classes[Int(label)].append((stream.next(), row))
        }
        // Dealt to the folds in turn. The next class goes on where the last one ended, so that folds are equally large.
        var folds = [Int](repeating: 0, count: features.rows)
        var dealt = 0
        for rows in classes {
            for (_, row) in rows.sorted(by: { $0 < $1 }) {
                folds[row] = dealt % most
                dealt += 1
            }
        }
        count = classes.contains { $0.count > 1 } ? most : 0
        own = Array(folds[features.firstRow..<features.firstRow + features.labels.count])
    }
}
