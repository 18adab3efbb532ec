import Collectives

/// Images or vectors in a `.npy` file, `[N, height, width]`, `[N, height, width, channels]`, `[N, channels, height,
/// width]` or `[N, dimension]`. Labels, if any, are in another file.
struct NumPyReader: ImageReader {
    private let array: NumPyArray
    private let labels: NumPyLabels?
    private let names: NumPyNames
    private let progress: ImageRequest.Progress?
    /// Whether there is a file of labels, read or not.
    private let hasLabels: Bool
    /// Whether the channels of an image are planes, one after another.
    private let isPlanar: Bool

    let shape: ImageShape
    let scale: ColumnScale?
    var changes: [ReadingChange] {
        guard scale != nil else { return [] }
        return [
            ReadingChange(since: 2, "columns far from 0, or with tiny or huge units, were rounded to float32")
        ]
    }
    var count: Int { array.rows }
    var valueSize: Int { holdsBytes ? 1 : 4 }

    /// Vectors of bytes are read as floats: statistics by value are for few columns.
    private var holdsBytes: Bool { array.element == .uint8 && !shape.isVector }

    var isMapped: Bool { array.isMappable && !isReordered && (holdsBytes || array.element == .float32) }

    private var isReordered: Bool { isPlanar && shape.channels > 1 }

    /// Names of classes are those of labels.
    var classNames: [String]? { hasLabels ? names.classes : nil }

    /// Most channels of an image; enough for satellites.
    private static let mostChannels = 64
    private static let longestVector = 1 << 16
    /// Values read at a time.
    private static let chunk = 1 << 22
    /// A column whose centre is at most this many units from 0 keeps 14 bits in Float.
    private static let farthestCentre = 1024.0

    /// - Parameter labels: the file of labels, if there is one.
    init(images: String, labels: String?, _ request: ImageRequest) throws {
        let layout = request.layout
        let array = try NumPyArray(path: images, accepting: NumPyElement.allCases)
        guard array.rows <= ImageSource.largestCount else {
            throw InputError("\(images): has \(array.rows) rows, expected at most \(ImageSource.largestCount)")
        }
        self.array = array
        let shape = try Self.shape(array, layout)
        let isPlanar = layout == .channelsFirst
        self.shape = shape
        self.isPlanar = isPlanar
        scale =
            array.element.fitsFloat
            ? nil
            : try ColumnScale(of: array, columns: shape.channels, limit: Self.farthestCentre) {
                Self.channel(of: $0, shape, isPlanar: isPlanar)
            }
        hasLabels = labels != nil
        self.labels = try request.isLabelled ? labels.map { try NumPyLabels($0, of: array) } : nil
        names = try NumPyNames(of: array)
        progress = request.progress
    }

    func names(of images: Range<Int>) throws -> [String]? { try names.samples(images) }

    private static func channel(of offset: Int, _ shape: ImageShape, isPlanar: Bool) -> Int {
        isPlanar ? offset / (shape.height * shape.width) : offset % shape.channels
    }

    private static func shape(_ array: NumPyArray, _ layout: ArrayLayout) throws -> ImageShape {
        let axes = array.shape
        func refuse(_ expected: String) -> InputError {
            InputError("\(array.path): has shape \(axes), expected \(expected)")
        }
        guard axes.count == 4 || layout != .channelsFirst else {
            throw refuse("four axes for data.layout=channelsFirst: leave that out if there is no axis of channels")
        }
        if axes.count == 2 {
            guard axes[1] <= longestVector else { throw refuse("[N, D] with at most \(longestVector) columns") }
            return ImageShape(height: 1, width: 1, channels: axes[1])
        }
        guard axes.count == 3 || axes.count == 4 else {
            throw refuse("[N, D], [N, height, width] or [N, height, width, channels]")
        }
        if layout == .automatic, looksPlanar(axes) {
            throw refuse(
                "channels last, but this looks like \(axes[1]) channel\(axes[1] == 1 ? "" : "s") of "
                    + "\(axes[2])x\(axes[3]): add --set data.layout=channelsFirst to train, or save with "
                    + "numpy.ascontiguousarray(array.transpose(0, 2, 3, 1)); if these are images of "
                    + "\(axes[1])x\(axes[2])x\(axes[3]), add --set data.layout=channelsLast")
        }
        let isPlanar = layout == .channelsFirst
        let shape = ImageShape(
            height: axes[isPlanar ? 2 : 1], width: axes[isPlanar ? 3 : 2],
            channels: axes.count == 3 ? 1 : axes[isPlanar ? 1 : 3])
        guard shape.channels <= mostChannels else {
            throw refuse(
                isPlanar
                    ? "[N, channels, height, width] with 1 to \(mostChannels) channels"
                    : "[N, height, width, channels] with 1 to \(mostChannels) channels")
        }
        guard max(shape.height, shape.width) <= ImageShape.longestSide else {
            throw refuse("sides of at most \(ImageShape.longestSide)")
        }
        return shape
    }

    /// Whether an array of this shape seems to have its channels first: an image is larger than its number of channels.
    static func looksPlanar(_ axes: [Int]) -> Bool {
        axes.count == 4 && axes[1] < min(axes[2], axes[3]) && axes[1] <= mostChannels
    }

    func load(images range: Range<Int>) throws -> ImageBlock {
        ImageBlock(
            pixels: try isMapped ? map(range) : read(range),
            labels: try labels.map { try $0.load(range, classes: classNames.map { (names.classesPath, $0.count) }) })
    }

    private func map(_ range: Range<Int>) throws -> Pixels {
        let mapping = try array.map(rows: range)
        if holdsBytes { return .bytes(.mapped(mapping)) }
        let values = StoredValues<Float>.mapped(mapping)
        try values.withUnsafeBufferPointer { values in
            for image in range {
                progress?(.checking, image - range.lowerBound, range.count)
                let start = (image - range.lowerBound) * shape.size
                if let index = (start..<start + shape.size).first(where: { !values[$0].isFinite }) {
                    throw try array.refusal(ofValue: index, inRowsFrom: range.lowerBound)
                }
            }
        }
        return .floats(values)
    }

    private func read(_ range: Range<Int>) throws -> Pixels {
        if holdsBytes { return .bytes(.array(ordered(try array.readBytes(rows: range)))) }
        var floats: [Float] = []
        let scale = scale?.spread(over: shape.size) { Self.channel(of: $0, shape, isPlanar: isPlanar) }
        floats.reserveCapacity(range.count * shape.size)
        let step = max(1, Self.chunk / shape.size)
        for first in stride(from: range.lowerBound, to: range.upperBound, by: step) {
            let rows = first..<min(first + step, range.upperBound)
            let isBytes = array.element == .uint8
            let values =
                isBytes
                ? try array.readBytes(rows: rows).map { Float($0) / 255 } : try array.read(rows: rows, by: scale)
            if let index = values.firstIndex(where: { !$0.isFinite }) {
                throw try array.refusal(ofValue: index, inRowsFrom: first)
            }
            floats += ordered(values)
        }
        return .floats(.array(floats))
    }

    /// Rows of the file, reordered so that the channels of a pixel are side by side.
    private func ordered<Value: BitwiseCopyable>(_ values: [Value]) -> [Value] {
        guard isReordered else { return values }
        let area = shape.height * shape.width
        return values.withUnsafeBufferPointer { values in
            [Value](unsafeUninitializedCapacity: values.count) { result, count in
                for start in stride(from: 0, to: values.count, by: shape.size) {
                    for channel in 0..<shape.channels {
                        let plane = start + channel * area
                        for pixel in 0..<area {
                            result.initializeElement(
                                at: start + pixel * shape.channels + channel, to: values[plane + pixel])
                        }
                    }
                }
                count = values.count
            }
        }
    }
}

/// The order of the axes of a `.npy` array of images.
package enum ArrayLayout: String, Choice {
    /// Channels last; refused if channels seem to come first.
    case automatic
    /// `[N, height, width, channels]`.
    case channelsLast
    /// `[N, channels, height, width]`, as in PyTorch.
    case channelsFirst
}
