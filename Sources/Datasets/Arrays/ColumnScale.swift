import Collectives

/// By what the columns of an array are shifted and divided, in double, before they are narrowed to Float: (v - centre) /
/// unit.
///
/// Float has 24 bits. A time stamp of 1.7e9 takes 31 before its first second, so that a column which varies by seconds
/// around it becomes a constant, and one of 1e-30 has squares that vanish. Both are whole again after a shift and a
/// division that no estimate and no normalisation by column minds.
///
/// Both numbers come from rows spread evenly over the file, the same on every rank, at any number of them.
package struct ColumnScale: Equatable, Sendable {
    /// The median of those rows; 0 where a column stays as it is.
    let centre: [Double]
    /// The median distance from it, above 0; 1 where a column stays as it is.
    let unit: [Double]
    /// The farthest apart, in units, that values lie which only the rounding of the file's own type tells apart: what
    /// varies no more is a constant.
    package let rounding: [Float]

    private static let mostRows = 1024
    private static let mostValues = 1 << 22
    /// Squares of columns whose usual distance lies outside of this leave Float's range.
    private static let units = 1e-15...1e15
    /// Roundings of the file's type that a sum of a few numbers may be off by.
    private static let mostRoundings = 8.0

    /// - Parameters:
    ///   - columns: how many there are.
    ///   - limit: columns whose centre isn't farther from 0 than so many units stay as they are.
    ///   - column: of each place in a row, in 0..<columns.
    /// - Throws: `InputError` where the file can't be read.
    init(of array: NumPyArray, columns: Int, limit: Double, column: (_ place: Int) -> Int) throws {
        let count = min(array.rows, max(1, min(Self.mostRows, Self.mostValues / array.rowSize)))
        var values = [[Double]](repeating: [], count: columns)
        for sample in 0..<count {
            let row = sample * array.rows / count
            for (place, value) in try array.readDoubles(rows: row..<row + 1).enumerated() where value.isFinite {
                values[column(place)].append(value)
            }
        }
        var scales: [(centre: Double, unit: Double, rounding: Float)] = []
        for values in values {
            guard let centre = Self.median(values) else {
                scales.append((0, 1, 0))
                continue
            }
            let distances = values.map { abs($0 - centre) }
            // A column that is mostly one value is measured by its others.
            var unit = Self.median(distances) ?? 0
            if unit == 0 { unit = Self.median(distances.filter { $0 > 0 }) ?? 1 }
            if !unit.isFinite { unit = 1 }
            let isScaled = abs(centre) > limit * unit || !Self.units.contains(unit)
            let used = isScaled ? (centre: centre, unit: unit) : (centre: 0, unit: 1)
            let rounding = Self.mostRoundings * array.element.rounding * abs(centre) / used.unit
            scales.append((used.centre, used.unit, Float(rounding)))
        }
        centre = scales.map(\.centre)
        unit = scales.map(\.unit)
        rounding = scales.map(\.rounding)
    }

    /// Of an array whose rows are taken as they come, a column for each value of a row: each is centred, however little.
    package init(of array: NumPyArray) throws {
        try self.init(of: array, columns: array.rowSize, limit: 0) { $0 }
    }

    private init(centre: [Double], unit: [Double], rounding: [Float]) {
        (self.centre, self.unit, self.rounding) = (centre, unit, rounding)
    }

    /// The lower one of two; nil of none.
    private static func median(_ values: [Double]) -> Double? {
        values.isEmpty ? nil : values.sorted()[(values.count - 1) / 2]
    }

    /// For each place in a row that of its column.
    func spread(over places: Int, column: (_ place: Int) -> Int) -> ColumnScale {
        let columns = (0..<places).map(column)
        return ColumnScale(
            centre: columns.map { centre[$0] }, unit: columns.map { unit[$0] }, rounding: columns.map { rounding[$0] })
    }

    /// What a scaled value was before.
    func undone(_ value: Float, column: Int) -> Double { centre[column] + unit[column] * Double(value) }

    /// Which columns of rows, `[n, columns]`, are constant over all ranks, rising. Collective.
    package func constantColumns(of values: [Float], ranks: any Ranks) throws -> [Int] {
        try Datasets.constantColumns(of: values, columns: centre.count, rounding: rounding, ranks: ranks)
    }
}

/// Which columns of rows, `[n, columns]`, don't vary by more than `rounding`, `[columns]`, over all ranks, rising.
/// Collective. Values aren't NaN.
func constantColumns(of values: [Float], columns: Int, rounding: [Float], ranks: any Ranks) throws -> [Int] {
    // The largest value of each column and the largest of the negative ones.
    var ends = [Float](repeating: -.infinity, count: 2 * columns)
    ends.withUnsafeMutableBufferPointer { ends in
        values.withUnsafeBufferPointer { values in
            for start in stride(from: 0, to: values.count, by: columns) {
                for column in 0..<columns {
                    let value = values[start &+ column]
                    ends[column] = max(ends[column], value)
                    ends[columns &+ column] = max(ends[columns &+ column], -value)
                }
            }
        }
    }
    try ends.withUnsafeMutableBufferPointer { try ranks.maximum($0) }
    return (0..<columns).filter { ends[$0] + ends[columns + $0] <= rounding[$0] }
}

/// A phrase that names columns which tell nothing, at most a few of them; nil where there are none.
/// - Parameters:
///   - columns: constant ones, rising, of `count` in all.
///   - noun: what a column is called.
package func constantsRemark(_ columns: [Int], of count: Int, noun: String) -> String? {
    let most = 8
    let names = columns.prefix(most).map(String.init).joined(separator: ", ")
    let more = columns.count > most ? " and \(columns.count - most) more" : ""
    return switch columns.count {
    case 0: nil
    case count: "every \(noun) is constant, so that there is nothing to learn"
    case 1: "\(noun) \(names) (of 0 to \(count - 1)) is constant and tells nothing"
    default: "\(columns.count) of \(count) \(noun)s are constant and tell nothing: \(names)\(more), counted from 0"
    }
}
