import Collectives

/// CIFAR's binary files: records of the label bytes, then 32x32 pixels as a red, a green and a blue plane.
struct CIFARReader: ImageReader {
    enum Kind {
        case cifar10
        /// With a coarse and a fine label; the fine one is used.
        case cifar100

        var labelBytes: Int { self == .cifar10 ? 1 : 2 }
        var classes: Int { self == .cifar10 ? 10 : 100 }
        /// Bytes of a record.
        var record: Int { labelBytes + 3 * CIFARReader.plane }
    }

    private static let plane = 32 * 32
    /// Records read at a time; their bytes are then reordered.
    private static let chunk = 512

    private let kind: Kind
    /// The files in order, each with the indices of its images.
    private let files: [(path: String, images: Range<Int>)]

    let shape = ImageShape(height: 32, width: 32, channels: 3)
    var count: Int { files.last?.images.upperBound ?? 0 }

    init(paths: [String], kind: Kind) throws {
        var files: [(path: String, images: Range<Int>)] = []
        var first = 0
        for path in paths {
            let size = try ByteFile(path).length(atMost: ImageSource.largestCount * kind.record)
            let (images, rest) = size.quotientAndRemainder(dividingBy: kind.record)
            guard rest == 0 else {
                throw InputError(
                    "\(path): has \(size) bytes, expected a multiple of \(kind.record) (records of "
                        + "\(kind.labelBytes) for labels and 32x32x3 pixels); \(rest) are left over")
            }
            guard images > 0 else {
                throw InputError("\(path): has 0 bytes, expected at least one record of \(kind.record)")
            }
            guard first + images <= ImageSource.largestCount else {
                throw InputError("\(path): has image \(first + images), expected at most \(ImageSource.largestCount)")
            }
            files.append((path, first..<first + images))
            first += images
        }
        self.files = files
        self.kind = kind
    }

    func load(images range: Range<Int>) throws -> ImageBlock {
        var pixels: [UInt8] = []
        var labels: [Int32] = []
        pixels.reserveCapacity(range.count * shape.size)
        labels.reserveCapacity(range.count)
        for (path, images) in files {
            let wanted = range.clamped(to: images)
            if wanted.isEmpty { continue }
            let file = try ByteFile(path)
            let last = wanted.upperBound - images.lowerBound
            for first in stride(from: wanted.lowerBound - images.lowerBound, to: last, by: Self.chunk) {
                let count = min(Self.chunk, last - first)
                let records = try file.read(count * kind.record, at: first * kind.record)
                for position in 0..<count {
                    let record = records[position * kind.record..<(position + 1) * kind.record]
                    let label = record[record.startIndex + kind.labelBytes - 1]
                    guard label < kind.classes else {
                        throw InputError(
                            "\(path): has label \(label) at record \(first + position), expected 0 to "
                                + "\(kind.classes - 1)")
                    }
                    labels.append(Int32(label))
                    Self.interleave(record.dropFirst(kind.labelBytes), onto: &pixels)
                }
            }
        }
        return ImageBlock(pixels: .bytes(.array(pixels)), labels: labels)
    }

    /// Appends planes `[3, 32, 32]` as pixels `[32, 32, 3]`.
    private static func interleave(_ planes: ArraySlice<UInt8>, onto pixels: inout [UInt8]) {
        planes.withUnsafeBufferPointer { planes in
            for position in 0..<plane {
                for channel in 0..<3 { pixels.append(planes[channel &* plane &+ position]) }
            }
        }
    }
}
