import Collectives
import Foundation
import Tensors

/// How the columns of one side become a critic's inputs. The inputs are the columns, indicators of their values where
/// these are few, and waves of a side's only column.
///
/// A network first learns functions that change slowly over its inputs, and hardly learns fast ones (Rahaman et al.
/// 2019): y = x + noise of a hundredth would take millions of steps. Sines and cosines of short wavelengths among its
/// inputs solve that (Tancik et al. 2020). Labels need indicators, because they aren't quantities.
struct CriticColumns {
    /// Number of columns of the side.
    let columns: Int
    /// Columns that hold few values, with these values, rising.
    let labels: [(column: Int, values: [Float])]
    /// Columns that get waves.
    let waves: [Int]
    /// Whether every column of the side has few values.
    let areLabels: Bool
    /// Number of columns and indicators, which come before the waves.
    let linearWidth: Int
    /// Number of all inputs.
    var width: Int { linearWidth + 2 * Self.octaves * waves.count }

    /// Most values of a column that count as few: of evenly spaced values (such as whole numbers in any unit), and of
    /// others.
    private static let fewEven = 256, fewNumbers = 16
    /// Most spacings from the least to the largest value: float32 can't tell whether more are even.
    private static let mostSpacings: Float = 10_000
    /// In a side with more columns than this, only two values count as few, because looking for more takes long.
    private static let mostLabelColumns = 256
    /// Fewest rows for each value.
    private static let rowsPerValue = 10
    /// A side that would have more indicators than this gets none.
    private static let mostIndicators = 1024
    /// A side with more columns than this gets no waves: with waves of more columns, a network would memorise its rows.
    private static let mostWaveColumns = 1
    /// The longest wave, in standard deviations. Each following wave is half as long as the one before.
    private static let longestWave: Float = 8
    private static let octaves = 8

    /// Collective; the same on every rank.
    /// - Parameters:
    ///   - values: this rank's rows, [n, columns].
    ///   - totalRows: number of rows of all ranks.
    init(of values: Tensor, totalRows: Int, ranks: any Ranks) throws {
        columns = values.shape[1]
        var labels: [(column: Int, values: [Float])] = []
        var hasMany = false
        for (column, found) in try Self.values(of: values, ranks: ranks).enumerated() {
            let most = Self.areEven(found) ? Self.fewEven : Self.fewNumbers
            let mostHere = columns > Self.mostLabelColumns ? 2 : most
            let isFew = found.count <= min(mostHere, max(2, totalRows / Self.rowsPerValue))
            if isFew { labels.append((column, found)) } else { hasMany = true }
        }
        areLabels = !hasMany
        let isLabel = Set(labels.map(\.column))
        // Two values need no indicators: the column itself separates them.
        labels.removeAll { $0.values.count < 3 }
        if labels.reduce(0, { $0 + $1.values.count }) > Self.mostIndicators { labels = [] }
        self.labels = labels
        waves = columns <= Self.mostWaveColumns ? (0..<columns).filter { !isLabel.contains($0) } : []
        linearWidth = columns + labels.reduce(0) { $0 + $1.values.count }
    }

    /// Whether rising values lie on multiples of one spacing.
    private static func areEven(_ values: [Float]) -> Bool {
        let gaps = zip(values.dropFirst(), values).map { $0 - $1 }
        guard let least = gaps.min(), let first = values.first, let last = values.last else { return true }
        guard last - first <= mostSpacings * least else { return false }
        return values.allSatisfy { value in
            let position = (value - first) / least
            return abs(position - position.rounded()) < 0.01
        }
    }

    /// The values of each column over all ranks' rows, rising; only some where there are many.
    private static func values(of values: Tensor, ranks: any Ranks) throws -> [[Float]] {
        let most = values.shape[1] > mostLabelColumns ? 2 : fewEven
        let own = (0..<values.shape[1]).map { column in
            var found: Set<Float> = []
            for row in 0..<values.shape[0] {
                found.insert(values.matrix.row(row)[column])
                if found.count > most { break }
            }
            return Array(found)
        }
        let counts = try ranks.gather(own.map(\.count), filler: 0)
        var rest = try ranks.gather(own.flatMap { $0 }, filler: 0)[...]
        var found = [Set<Float>](repeating: [], count: own.count)
        for (index, count) in counts.enumerated() {
            found[index % own.count].formUnion(rest.prefix(count))
            rest = rest.dropFirst(count)
        }
        return found.map { $0.sorted() }
    }

    /// The inputs of some rows, [n, width].
    /// - Parameters:
    ///   - values: [n, columns], as given.
    ///   - standardised: [n, columns].
    ///   - linearOnly: whether to return only the first `linearWidth` inputs.
    func inputs(_ values: Tensor, standardised: Tensor, linearOnly: Bool = false, device: Device) -> Tensor {
        let width = linearOnly ? linearWidth : width
        guard width > columns else { return standardised }
        let result = device.tensor([values.shape[0], width], filledWith: 0)
        for r in 0..<values.shape[0] {
            let (target, source) = (result.matrix.row(r), standardised.matrix.row(r))
            target.update(from: source, count: columns)
            var column = columns
            for label in labels {
                if let index = label.values.binarySearch(values.matrix.row(r)[label.column]) {
                    target[column + index] = Float(label.values.count).squareRoot()  // a mean square of about 1
                }
                column += label.values.count
            }
            guard !linearOnly else { continue }
            for wave in waves {
                var wavelength = Self.longestWave
                for _ in 0..<Self.octaves {
                    let angle = 2 * Float.pi * source[wave] / wavelength
                    (target[column], target[column + 1]) = (sin(angle), cos(angle))
                    (column, wavelength) = (column + 2, wavelength / 2)
                }
            }
        }
        return result
    }
}

extension Array where Element: Comparable {
    /// The index of an element in a rising array; nil where it isn't there.
    fileprivate func binarySearch(_ element: Element) -> Int? {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if self[middle] < element { low = middle + 1 } else { high = middle }
        }
        return low < count && self[low] == element ? low : nil
    }
}
