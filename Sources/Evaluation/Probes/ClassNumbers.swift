import Collectives
import Datasets

/// The classes of a training and a test split, numbered from 0 without gaps, because the cost of probes grows with the
/// number of classes.
///
/// Data may number classes in any way, with gaps. Their order is kept.
package struct ClassNumbers {
    /// The labels in the data, in rising order, of both splits and all ranks.
    package let labels: [Int32]
    /// Notes on accuracies, a line each; usually none.
    package let notes: [String]
    /// Number of training and test rows without a label, over all ranks.
    package let unlabelled: (train: Int, test: Int)

    /// Collective; the same on every rank.
    /// - Parameters: this rank's labels of each split; `noLabel` where there is none.
    package init(train: [Int32], test: [Int32], ranks: any Ranks) throws {
        let own = Set(train).union(test).subtracting([noLabel])
        let labels = Set(try ranks.gather(Array(own), filler: 0)).sorted()
        let counts = try [train, test].map { try Self.counts($0, of: labels, ranks) }
        self.labels = labels
        let total = try ranks.sum([train.count, test.count])
        unlabelled = (total[0] - counts[0].reduce(0, +), total[1] - counts[1].reduce(0, +))
        notes = Self.notes(train: counts[0], test: counts[1])
    }

    /// Number of rows of each class, over all ranks.
    private static func counts(_ own: [Int32], of labels: [Int32], _ ranks: any Ranks) throws -> [Int] {
        var counts = [Int](repeating: 0, count: labels.count)
        let numbers = Dictionary(uniqueKeysWithValues: zip(labels, labels.indices))
        for label in own { if let number = numbers[label] { counts[number] += 1 } }
        return try ranks.sum(counts)
    }

    private static func notes(train: [Int], test: [Int]) -> [String] {
        let rows = (train: train.reduce(0, +), test: test.reduce(0, +))
        let classes = (train: train.count { $0 > 0 }, test: test.count { $0 > 0 })
        var notes: [String] = []
        if classes.train == 1 {
            notes.append(
                "all \(rows.train) training images with a label are of 1 class, so accuracies say nothing about the "
                    + "features")
        } else if classes.test == 1 {
            notes.append(
                "all \(rows.test) test images with a label are of 1 class of \(classes.train), so accuracies are "
                    + "those of this class")
        }
        let unknown = train.indices.filter { train[$0] == 0 && test[$0] > 0 }
        if !unknown.isEmpty {
            let lost = unknown.reduce(0) { $0 + test[$1] }
            notes.append(
                "\(lost) of \(rows.test) test images are of "
                    + "\(unknown.count) class\(unknown.count == 1 ? "" : "es") without training images, so no probe "
                    + "can classify them")
        }
        return notes
    }

    /// The numbers of some labels; nil for a label that isn't among the classes, such as `noLabel`.
    package func numbers(of own: [Int32]) -> [Int?] {
        let numbers = Dictionary(uniqueKeysWithValues: zip(labels, labels.indices))
        return own.map { numbers[$0] }
    }
}
