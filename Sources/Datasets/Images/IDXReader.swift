import Collectives

/// Grey images in the IDX format of MNIST: a magic number, the axes as big-endian 32-bit numbers, then the bytes.
struct IDXReader: ImageReader {
    let images: String
    let labels: String?
    let count: Int
    let shape: ImageShape
    /// Whether the images aren't compressed.
    let isMapped: Bool

    private static let imagesOffset = 16
    private static let labelsOffset = 8

    /// Compares both headers with the sizes of their files.
    init(images: String, labels: String?) throws {
        let file = try ByteFile(images)
        let axes = try Self.axes(file, count: 3)
        let (count, height, width) = (axes[0], axes[1], axes[2])
        guard (1...ImageSource.largestCount).contains(count) else {
            throw InputError("\(images): has \(count) images, expected 1 to \(ImageSource.largestCount)")
        }
        guard (1...ImageShape.longestSide).contains(height), (1...ImageShape.longestSide).contains(width) else {
            throw InputError(
                "\(images): has images of \(height)x\(width), expected sides of 1 to \(ImageShape.longestSide)")
        }
        // No overflow: below 2^31 * 2^12 * 2^12.
        try Self.require(
            file, Self.imagesOffset + count * height * width, "\(count) images of \(height)x\(width)")
        self.images = images
        self.labels = labels
        self.count = count
        isMapped = file.isPlain
        shape = ImageShape(height: height, width: width, channels: 1)
        if let labels { try Self.check(labels: labels, images: images, count: count) }
    }

    func load(images range: Range<Int>) throws -> ImageBlock {
        let first = Self.imagesOffset + range.lowerBound * shape.size
        let bytes = range.count * shape.size
        let pixels: StoredValues<UInt8> =
            isMapped
            ? .mapped(try FileMapping(images, first..<first + bytes))
            : .array(try ByteFile(images).read(bytes, at: first))
        let labels = try labels.map {
            try ByteFile($0).read(range.count, at: Self.labelsOffset + range.lowerBound).map(Int32.init)
        }
        return ImageBlock(pixels: .bytes(pixels), labels: labels)
    }

    private static func check(labels: String, images: String, count: Int) throws {
        let file = try ByteFile(labels)
        let found = try axes(file, count: 1)[0]
        guard found == count else {
            throw InputError("\(labels): has \(found) labels, expected \(count), one for each image of \(images)")
        }
        try require(file, labelsOffset + count, "\(count) labels")
    }

    /// The sizes of the axes, from a header that must have `count` axes.
    private static func axes(_ file: ByteFile, count: Int) throws -> [Int] {
        let header = 4 + 4 * count
        let length = try file.length(atMost: header)
        guard length >= header else {
            throw InputError("\(file.path): has \(length) bytes, expected at least the \(header) of an IDX header")
        }
        let bytes = try file.read(header, at: 0)
        let numbers = stride(from: 0, to: header, by: 4).map { start in
            bytes[start..<start + 4].reduce(0) { $0 << 8 | Int($1) }
        }
        let magic = 0x0800 + count
        guard numbers[0] == magic else {
            throw InputError(
                "\(file.path): starts with magic \(numbers[0]), expected \(magic) "
                    + "(IDX, unsigned bytes, axes: \(count))")
        }
        return Array(numbers[1...])
    }

    private static func require(_ file: ByteFile, _ expected: Int, _ what: String) throws {
        let length = try file.length(atMost: expected)
        guard length != expected else { return }
        let found = length > expected ? "more than \(expected) bytes" : "\(length) bytes"
        throw InputError("\(file.path): has \(found), expected \(expected) for \(what)")
    }
}
