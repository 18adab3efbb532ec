import Collectives

/// The shift and unit of each column of an array. Values are shifted and divided in Double before they are rounded to
/// Float: (v - centre) / unit.
///
/// Float has 24 bits. A time stamp of 1.7e9 needs 31 bits for whole seconds, so in Float a column that varies by
/// seconds around it becomes constant. Values of 1e-30 have squares that become 0. A shift and a division solve both.
/// They don't change estimates or normalisation by column.
///
/// Both numbers come from rows spread evenly over the file. They are the same on every rank, for any number of ranks.
package struct ColumnScale: Equatable, Sendable {
    /// The median of those rows; 0 where a column stays as it is.
    let centre: [Double]
    /// The median distance from it, above 0; 1 where a column stays as it is.
    let unit: [Double]
    /// The largest difference of values, in units, that may come from rounding in the file's own type. A column that
    /// doesn't vary by more is constant.
    package let rounding: [Float]

    private static let mostRows = 1024
    private static let mostValues = 1 << 22
    /// Units outside this range have squares beyond Float's range.
    private static let units = 1e-15...1e15
    /// Roundings of the file's type by which a sum of a few numbers may be wrong.
    private static let mostRoundings = 8.0

    /// - Parameters:
    ///   - columns: number of columns.
    ///   - limit: a column whose centre is at most this many units from 0 stays as it is.
    ///   - column: the column of each offset in a row, in 0..<columns.
    /// - Throws: `InputError` where the file can't be read.
    init(of array: NumPyArray, columns: Int, limit: Double, column: (_ offset: Int) -> Int) throws {
        let count = min(array.rows, max(1, min(Self.mostRows, Self.mostValues / array.rowSize)))
        var values = [[Double]](repeating: [], count: columns)
        for sample in 0..<count {
            let row = sample * array.rows / count
            for (offset, value) in try array.readDoubles(rows: row..<row + 1).enumerated() where value.isFinite {
                values[column(offset)].append(value)
            }
        }
        var scales: [(centre: Double, unit: Double, rounding: Float)] = []
        for values in values {
            guard let centre = Self.median(values) else {
                scales.append((0, 1, 0))
                continue
            }
            let distances = values.map { abs($0 - centre) }
            // If most values of a column are equal, the others give its unit.
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

    /// The scale of an array with a column for each value of a row. Every column is centred.
    package init(of array: NumPyArray) throws {
        try self.init(of: array, columns: array.rowSize, limit: 0) { $0 }
    }

    private init(centre: [Double], unit: [Double], rounding: [Float]) {
        (self.centre, self.unit, self.rounding) = (centre, unit, rounding)
    }

    /// Whether values are only rounded to Float.
    var isIdentity: Bool { centre.allSatisfy { $0 == 0 } && unit.allSatisfy { $0 == 1 } }

    /// The median, the lower one of two; nil without values.
    private static func median(_ values: [Double]) -> Double? {
        values.isEmpty ? nil : values.sorted()[(values.count - 1) / 2]
    }

    /// The scale with an entry for each offset in a row: that of its column.
    func spread(over rowSize: Int, column: (_ offset: Int) -> Int) -> ColumnScale {
        let columns = (0..<rowSize).map(column)
        return ColumnScale(
            centre: columns.map { centre[$0] }, unit: columns.map { unit[$0] }, rounding: columns.map { rounding[$0] })
    }

    /// The original of a scaled value.
    func undone(_ value: Float, column: Int) -> Double { centre[column] + unit[column] * Double(value) }

    /// The indices of columns that are constant over all ranks' rows, `[n, columns]`, rising. Collective.
    package func constantColumns(of values: [Float], ranks: any Ranks) throws -> [Int] {
        try Datasets.constantColumns(of: .array(values), columns: centre.count, rounding: rounding, ranks: ranks)
    }
}

/// The indices of columns that vary by at most `rounding`, `[columns]`, over all ranks' rows, `[n, columns]`, rising.
/// Values must not be NaN. Collective.
func constantColumns(
    of values: StoredValues<Float>, columns: Int, rounding: [Float], ranks: any Ranks
) throws -> [Int] {
    // The largest value of each column, and the largest negated one.
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

/// A phrase that names the first few constant columns; nil where there are none.
/// - Parameters:
///   - columns: constant ones, rising, of `count` in total.
///   - noun: the word for a column.
package func constantsRemark(_ columns: [Int], of count: Int, noun: String) -> String? {
    let most = 8
    let names = columns.prefix(most).map(String.init).joined(separator: ", ")
    let more = columns.count > most ? " and \(columns.count - most) more" : ""
    return switch columns.count {
    case 0: nil
    case count: "every \(noun) is constant, so there is nothing to learn"
    case 1: "\(noun) \(names) (of 0 to \(count - 1)) is constant and carries no information"
    default:
        "\(columns.count) of \(count) \(noun)s are constant and carry no information: \(names)\(more), counted from 0"
    }
}
