import Collectives

/// STL-10's binary files: 96x96 pixels as a red, a green and a blue plane, each column by column. Labels from 1 to 10
/// are in a separate file; unlabelled images have none.
struct STL10Reader: ImageReader {
    /// Bytes of an image.
    static let record = 3 * plane

    private static let side = 96
    private static let plane = side * side
    /// Images read at a time; their bytes are then reordered.
    private static let chunk = 256

    private let images: String
    private let labels: String?

    let shape = ImageShape(height: side, width: side, channels: 3)
    let count: Int

    init(images: String, labels: String?) throws {
        let size = try ByteFile(images).length(atMost: ImageSource.largestCount * Self.record)
        guard size > 0, size % Self.record == 0, size / Self.record <= ImageSource.largestCount else {
            throw InputError(
                "\(images): has \(size) bytes, expected a multiple of \(Self.record) (96x96x3 pixels for each image), "
                    + "of 1 to \(ImageSource.largestCount) images")
        }
        count = size / Self.record
        if let labels {
            let found = try ByteFile(labels).length(atMost: count)
            guard found == count else {
                throw InputError(
                    "\(labels): has \(found > count ? "more than \(count)" : "\(found)") bytes, expected \(count), "
                        + "one for each image of \(images)")
            }
        }
        self.images = images
        self.labels = labels
    }

    func load(images range: Range<Int>) throws -> ImageBlock {
        let file = try ByteFile(images)
        var pixels: [UInt8] = []
        pixels.reserveCapacity(range.count * Self.record)
        for first in stride(from: range.lowerBound, to: range.upperBound, by: Self.chunk) {
            let count = min(Self.chunk, range.upperBound - first)
            let records = try file.read(count * Self.record, at: first * Self.record)
            records.withUnsafeBufferPointer { records in
                for image in 0..<count {
                    for y in 0..<Self.side {
                        for x in 0..<Self.side {
                            let position = image * Self.record + x * Self.side + y
                            for channel in 0..<3 { pixels.append(records[position &+ channel &* Self.plane]) }
                        }
                    }
                }
            }
        }
        return ImageBlock(pixels: .bytes(.array(pixels)), labels: try labels.map { try Self.labels($0, range) })
    }

    private static func labels(_ path: String, _ range: Range<Int>) throws -> [Int32] {
        let bytes = try ByteFile(path).read(range.count, at: range.lowerBound)
        if let index = bytes.firstIndex(where: { !(1...10).contains($0) }) {
            throw InputError(
                "\(path): has label \(bytes[index]) at image \(range.lowerBound + index), expected 1 to 10")
        }
        return bytes.map(Int32.init)
    }
}
