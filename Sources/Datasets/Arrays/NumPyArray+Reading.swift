import Collectives

extension NumPyArray {
    /// Values converted at a time.
    private static let chunk = 1 << 22

    /// Rows as Float, `[range.count, shape[1], ...]`. Values of more than 24 bits are rounded, and those beyond Float's
    /// range become infinite.
    /// - Parameter scale: has a column for each value of a row; nil leaves values as they are.
    package func read(rows range: Range<Int>, by scale: ColumnScale? = nil) throws -> [Float] {
        if element == .float32, scale == nil { return try load(range, of: Float.self) }
        var result: [Float] = []
        result.reserveCapacity(range.count * rowSize)
        let step = max(1, Self.chunk / rowSize)
        for first in stride(from: range.lowerBound, to: range.upperBound, by: step) {
            let values = try readDoubles(rows: first..<min(first + step, range.upperBound), less: scale?.centre)
            guard let scale else {
                result += values.map { Float($0) }
                continue
            }
            for start in stride(from: 0, to: values.count, by: rowSize) {
                for (value, unit) in zip(values[start..<start + rowSize], scale.unit) {
                    result.append(Float(value / unit))
                }
            }
        }
        return result
    }

    /// Rows as Double, each value minus that of its column in `centre`, `[rowSize]`. The difference is rounded once,
    /// even where Double can't hold the 64-bit value itself. The centres of whole numbers are whole.
    func readDoubles(rows range: Range<Int>, less centre: [Double]? = nil) throws -> [Double] {
        switch element {
        case .bool, .uint8: try differences(range, of: UInt8.self, centre)
        case .int8: try differences(range, of: Int8.self, centre)
        case .uint16: try differences(range, of: UInt16.self, centre)
        case .int16: try differences(range, of: Int16.self, centre)
        case .uint32: try differences(range, of: UInt32.self, centre)
        case .int32: try differences(range, of: Int32.self, centre)
        case .uint64: try differences(range, of: UInt64.self, centre)
        case .int64: try differences(range, of: Int64.self, centre)
        case .float16: try differences(range, of: Float16.self, centre)
        case .float32: try differences(range, of: Float.self, centre)
        case .float64: try differences(range, of: Double.self, centre)
        }
    }

    /// Rows of uint8.
    func readBytes(rows range: Range<Int>) throws -> [UInt8] { try load(range, of: UInt8.self) }

    /// Whether elements lie in the file as they would in memory.
    var isMappable: Bool { !isBigEndian && dataOffset % element.size == 0 }

    /// Rows of a mappable array, which stay in the file.
    func map(rows range: Range<Int>) throws -> FileMapping {
        precondition(isMappable && range.lowerBound >= 0 && range.upperBound <= rows, "rows \(range) of \(rows)")
        return try FileMapping(path, offset(ofRow: range.lowerBound)..<offset(ofRow: range.upperBound))
    }

    private func differences<Stored: StoredNumber>(
        _ range: Range<Int>, of _: Stored.Type, _ centre: [Double]?
    ) throws -> [Double] {
        let values = try load(range, of: Stored.self)
        guard let centre else { return values.map { $0.less(0) } }
        precondition(centre.count == rowSize, "\(centre.count) centres for rows of \(rowSize)")
        var result: [Double] = []
        result.reserveCapacity(values.count)
        for start in stride(from: 0, to: values.count, by: rowSize) {
            for (value, centre) in zip(values[start..<start + rowSize], centre) { result.append(value.less(centre)) }
        }
        return result
    }

    private func load<Stored: StoredNumber>(_ range: Range<Int>, of _: Stored.Type) throws -> [Stored] {
        precondition(range.lowerBound >= 0 && range.upperBound <= rows, "rows \(range) of \(rows)")
        precondition(MemoryLayout<Stored>.size == element.size, "\(Stored.self) of '\(element.rawValue)'")
        var values = [Stored](repeating: 0, count: range.count * rowSize)
        let file = try SystemFile(path, .read)
        try values.withUnsafeMutableBytes { bytes in
            try file.read(into: bytes, at: offset(ofRow: range.lowerBound))
            guard isBigEndian else { return }
            for start in stride(from: 0, to: bytes.count, by: element.size) {
                bytes[start..<start + element.size].reverse()
            }
        }
        return values
    }
}

/// A number as stored in files.
private protocol StoredNumber: BitwiseCopyable, ExpressibleByIntegerLiteral {
    /// The number minus a centre, rounded once.
    func less(_ centre: Double) -> Double
}

extension StoredNumber where Self: BinaryFloatingPoint {
    func less(_ centre: Double) -> Double { Double(self) - centre }
}

extension StoredNumber where Self: FixedWidthInteger {
    func less(_ centre: Double) -> Double {
        guard Self.bitWidth == 64, centre != 0 else { return Double(self) - centre }
        // A median as Double may be rounded beyond the type's range.
        let whole = Self(exactly: centre) ?? (centre > 0 ? .max : .min)
        // The distance always fits the unsigned type of the same size.
        return self >= whole
            ? Double(Magnitude(truncatingIfNeeded: self &- whole))
            : -Double(Magnitude(truncatingIfNeeded: whole &- self))
    }
}

extension UInt8: StoredNumber {}
extension Int8: StoredNumber {}
extension UInt16: StoredNumber {}
extension Int16: StoredNumber {}
extension UInt32: StoredNumber {}
extension Int32: StoredNumber {}
extension UInt64: StoredNumber {}
extension Int64: StoredNumber {}
extension Float16: StoredNumber {}
extension Float: StoredNumber {}
extension Double: StoredNumber {}

extension NumPyArray {
    /// The error for a value that `read` returned as infinite or NaN.
    /// - Parameter index: index among the values of rows from `first` on.
    /// - Throws: `InputError` where the value can't be read again.
    package func refusal(ofValue index: Int, inRowsFrom first: Int) throws -> InputError {
        let (row, column) = index.quotientAndRemainder(dividingBy: rowSize)
        let value = try readDoubles(rows: first + row..<first + row + 1)[column]
        let found = "\(path): value \(value) at row \(first + row), column \(column) of \(rowSize)"
        guard value.isFinite else { return InputError("\(found) is not finite: leave such rows out") }
        return InputError(
            "\(found) is too far from the column's other values for float32: clip it, or leave the row out")
    }
}
