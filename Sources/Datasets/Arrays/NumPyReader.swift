import Collectives

/// Images or vectors in a `.npy` file: `[N, height, width]`, `[N, height, width, channels]` or `[N, dimension]`, with
/// labels, if any, in another.
struct NumPyReader: ImageReader {
    private let array: NumPyArray
    private let labels: [Int32]?

    let shape: ImageShape
    let classes: Int?
    var count: Int { array.rows }
    var valueSize: Int { holdsBytes ? 1 : 4 }

    /// Vectors of bytes come as floats too: what follows by column is for few columns where it is by value.
    private var holdsBytes: Bool { array.element == .uint8 && !shape.isVector }

    /// Enough for images of satellites.
    private static let mostChannels = 64
    private static let longestVector = 1 << 16
    private static let mostClasses = 1 << 16
    /// Values read at once.
    private static let chunk = 1 << 22

    init(images: String, labels: String?) throws {
        let array = try NumPyArray(path: images, accepting: [.uint8, .float32, .float64])
        guard array.rows <= ImageSource.largestCount else {
            throw InputError("\(images): \(array.rows) rows, expected at most \(ImageSource.largestCount)")
        }
        self.array = array
        shape = try Self.shape(array)
        let numbers = try labels.map { try Self.labels($0, of: array) }
        self.labels = numbers
        classes = numbers.map { Int($0.max() ?? 0) + 1 }
    }

    private static func shape(_ array: NumPyArray) throws -> ImageShape {
        let axes = array.shape
        func refuse(_ expected: String) -> InputError {
            InputError("\(array.path): shape \(axes), expected \(expected)")
        }
        if axes.count == 2 {
            guard axes[1] <= longestVector else { throw refuse("[N, D] with at most \(longestVector) columns") }
            return ImageShape(height: 1, width: 1, channels: axes[1])
        }
        guard axes.count == 3 || axes.count == 4 else {
            throw refuse("[N, D], [N, height, width] or [N, height, width, channels]")
        }
        let shape = ImageShape(height: axes[1], width: axes[2], channels: axes.count == 4 ? axes[3] : 1)
        if axes.count == 4, [1, 3].contains(axes[1]), axes[2] == axes[3], axes[3] > 3 {
            throw refuse("channels last; save with numpy.ascontiguousarray(array.transpose(0, 2, 3, 1))")
        }
        guard shape.channels <= mostChannels else {
            throw refuse("[N, height, width, channels] of 1 to \(mostChannels)")
        }
        guard max(shape.height, shape.width) <= ImageShape.longestSide else {
            throw refuse("sides of at most \(ImageShape.longestSide)")
        }
        return shape
    }

    private static func labels(_ path: String, of images: NumPyArray) throws -> [Int32] {
        let array = try NumPyArray(path: path, accepting: NumPyElement.integers)
        guard array.shape == [images.rows] else {
            throw InputError("\(path): shape \(array.shape), expected \([images.rows]), one for each of \(images.path)")
        }
        return try array.readIntegers(rows: 0..<array.rows).enumerated().map { row, label in
            guard (0..<mostClasses).contains(label) else {
                throw InputError("\(path): label \(label) at row \(row), expected 0 to \(mostClasses - 1)")
            }
            return Int32(label)
        }
    }

    func load(images range: Range<Int>) throws -> ImageBlock {
        let isBytes = array.element == .uint8
        var (bytes, floats): ([UInt8], [Float]) = ([], [])
        if holdsBytes {
            bytes = try array.readBytes(rows: range)
        } else {
            floats.reserveCapacity(range.count * shape.size)
            let step = max(1, Self.chunk / shape.size)
            for first in stride(from: range.lowerBound, to: range.upperBound, by: step) {
                let rows = first..<min(first + step, range.upperBound)
                let values =
                    isBytes ? try array.readBytes(rows: rows).map { Float($0) / 255 } : try array.read(rows: rows)
                if let place = values.firstIndex(where: { !$0.isFinite }) {
                    let (row, column) = place.quotientAndRemainder(dividingBy: shape.size)
                    throw InputError(
                        "\(array.path): value \(values[place]) at row \(first + row), column \(column) of \(shape.size), "
                            + "expected finite ones that float32 holds")
                }
                floats += values
            }
        }
        return ImageBlock(
            pixels: holdsBytes ? .bytes(bytes) : .floats(floats),
            labels: labels.map { Array($0[range]) })
    }
}
