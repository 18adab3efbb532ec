import Collectives

/// Labels in a `.npy` file, one for each row of another: whole numbers of any type, which may have gaps, and -1 where a
/// row has none.
struct NumPyLabels {
    private let array: NumPyArray

    /// - Throws: `InputError` unless the shape is `[N]` or `[N, 1]`. No label is read.
    init(_ path: String, of images: NumPyArray) throws {
        array = try NumPyArray(path: path, accepting: NumPyElement.allCases)
        let shape = array.shape
        guard shape == [images.rows] || shape == [images.rows, 1] else {
            let isOneHot = shape.count == 2 && shape[0] == images.rows
            throw InputError(
                "\(path): shape \(shape), expected \([images.rows]), one for each of \(images.path)"
                    + (isOneHot ? "; save one-hot rows as array.argmax(1)" : ""))
        }
    }

    /// Labels of some rows.
    /// - Throws: `InputError` on one that isn't a whole number from -1 on that fits 32 bits.
    func load(_ rows: Range<Int>) throws -> [Int32] {
        try array.readDoubles(rows: rows).enumerated().map { place, value in
            guard let label = Int32(exactly: value), label >= noLabel else {
                let isWhole = value == value.rounded() && abs(value) < 1e15
                throw InputError(
                    "\(array.path): label \(isWhole ? "\(Int(value))" : "\(value)") at row \(rows.lowerBound + place), "
                        + "expected whole numbers from 0 to \(Int32.max), or -1 for none")
            }
            return label
        }
    }
}
