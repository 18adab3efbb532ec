import Collectives

/// Resizes the shorter side to `side` and crops the square in the middle: `[height, width, channels]` to `[side, side,
/// channels]`.
///
/// Rows first, then columns, each by `TriangleFilter`. Bytes are rounded after each. The result equals that of Pillow's
/// `BILINEAR`; for images that are higher than wide, bytes may differ by 1.
func resizeAndCrop<Value: ResizableValue>(
    _ image: UnsafePointer<Value>, _ shape: ImageShape, to side: Int, into result: UnsafeMutablePointer<Value>
) {
    let (height, width, channels) = (shape.height, shape.width, shape.channels)
    let square = min(height, width)
    let (top, left) = ((height - square) / 2, (width - square) / 2)
    guard square != side else {  // nothing to resize
        for row in 0..<side {
            let source = image + ((top + row) * width + left) * channels
            (result + row * side * channels).update(from: source, count: side * channels)
        }
        return
    }
    let across = TriangleFilter<Value>(of: width, from: left, square, to: side)
    let down = TriangleFilter<Value>(of: height, from: top, square, to: side)
    let rows = down.samples
    let rowSize = side * channels
    withUnsafeTemporaryAllocation(of: Value.self, capacity: rows.count * rowSize) { narrow in  // [rows, side, channels]
        guard let narrow = narrow.baseAddress else { return }
        for row in rows {
            across.gather(
                image + row * width * channels, channels: channels, into: narrow + (row - rows.lowerBound) * rowSize)
        }
        down.average(narrow, firstRow: rows.lowerBound, rowSize: rowSize, into: result)
    }
}

/// The images of another reader, resized and cropped.
struct ResizingReader: ImageReader {
    private let base: any ImageReader
    let shape: ImageShape

    /// Values that are read at a time, to limit memory. It is larger than all of Fashion-MNIST, because a compressed
    /// file is read from its start each time.
    private static let chunk = 1 << 26

    var count: Int { base.count }
    var classNames: [String]? { base.classNames }
    var valueSize: Int { base.valueSize }
    var scale: ColumnScale? { base.scale }
    var fingerprint: Int { base.fingerprint }
    var notes: [String] { base.notes }
    var changes: [ReadingChange] { base.changes }

    init(_ base: any ImageReader, to side: Int, path: String) throws {
        guard !base.shape.isVector else {
            throw InputError("\(path): holds vectors, which can't be resized: leave data.imageSize=\(side) out")
        }
        self.base = base
        shape = ImageShape(height: side, width: side, channels: base.shape.channels)
    }

    func names(of images: Range<Int>) throws -> [String]? { try base.names(of: images) }

    func load(images range: Range<Int>) throws -> ImageBlock {
        guard !range.isEmpty else { return try base.load(images: range) }
        var (bytes, floats): ([UInt8], [Float]) = ([], [])
        var labels: [Int32] = []
        var isLabelled = false
        let step = max(1, Self.chunk / base.shape.size)
        for first in stride(from: range.lowerBound, to: range.upperBound, by: step) {
            let block = try base.load(images: first..<min(first + step, range.upperBound))
            switch block.pixels {
            case .bytes(let values): resize(values, onto: &bytes, reserving: range.count)
            case .floats(let values): resize(values, onto: &floats, reserving: range.count)
            }
            isLabelled = block.labels != nil
            labels += block.labels ?? []
        }
        return ImageBlock(
            pixels: floats.isEmpty ? .bytes(.array(bytes)) : .floats(.array(floats)),
            labels: isLabelled ? labels : nil)
    }

    private func resize<Value: ResizableValue>(
        _ values: StoredValues<Value>, onto result: inout [Value], reserving count: Int
    ) {
        if result.isEmpty { result.reserveCapacity(count * shape.size) }
        var image = [Value](repeating: .zero, count: shape.size)
        values.withUnsafeBufferPointer { values in
            for start in stride(from: 0, to: values.count, by: base.shape.size) {
                image.withUnsafeMutableBufferPointer { image in
                    guard let source = values.baseAddress, let target = image.baseAddress else { return }
                    resizeAndCrop(source + start, base.shape, to: shape.width, into: target)
                }
                result += image
            }
        }
    }
}
