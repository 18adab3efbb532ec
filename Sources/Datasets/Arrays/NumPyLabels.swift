import Collectives

/// Labels in a `.npy` file, one for each row of another file. They are whole numbers of any type, which may have gaps;
/// -1 means no label.
struct NumPyLabels {
    private let array: NumPyArray

    /// - Throws: `InputError` unless the shape is `[N]` or `[N, 1]`. No label is read.
    init(_ path: String, of images: NumPyArray) throws {
        array = try NumPyArray(path: path, accepting: NumPyElement.allCases)
        let shape = array.shape
        guard shape == [images.rows] || shape == [images.rows, 1] else {
            let isOneHot = shape.count == 2 && shape[0] == images.rows
            throw InputError(
                "\(path): has shape \(shape), expected \([images.rows]), a label for each row of \(images.path)"
                    + (isOneHot ? ": save one-hot rows as array.argmax(1)" : ""))
        }
    }

    /// Labels of some rows.
    /// - Parameter classes: the file with names of classes, if there is one, and how many it has.
    /// - Throws: `InputError` on a label that isn't a whole number of 32 bits from -1 on, or that has no name there.
    func load(_ rows: Range<Int>, classes: (path: String, count: Int)? = nil) throws -> [Int32] {
        try array.readDoubles(rows: rows).enumerated().map { index, value in
            guard let label = Int32(exactly: value), label >= noLabel else {
                let isWhole = value == value.rounded() && abs(value) < 1e15
                throw InputError(
                    "\(array.path): has label \(isWhole ? "\(Int(value))" : "\(value)") at row "
                        + "\(rows.lowerBound + index), expected whole numbers from 0 to \(Int32.max), or -1 for none")
            }
            guard classes.map({ label < $0.count }) ?? true else {
                throw InputError(
                    "\(array.path): has label \(label) at row \(rows.lowerBound + index), but "
                        + "\(classes?.path ?? "") has \(classes?.count ?? 0) lines, a name for each class from 0 on: "
                        + "add the missing names, or give that file another name")
            }
            return label
        }
    }
}
