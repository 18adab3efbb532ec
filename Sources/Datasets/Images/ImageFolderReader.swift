import CZlib
import Collectives

/// Image files, decoded to the same size and channels.
struct ImageFolderReader: ImageReader {
    private let folder: ImageFolder
    /// Side of the squares to which images are resized; 0 leaves them as they are, and they must have one size.
    private let side: Int
    let shape: ImageShape
    private let progress: ImageRequest.Progress?

    var count: Int { folder.files.count }
    var notes: [String] { folder.notes }
    var changes: [ReadingChange] { folder.changes }
    var classNames: [String]? { folder.labels == nil ? nil : folder.classes }

    /// CRC-32 of all paths.
    var fingerprint: Int {
        Int(folder.files.reduce(crc32_z(0, nil, 0)) { crc32_z($0, Array($1.utf8), $1.utf8.count) })
    }

    private static let advice = "to leave out such files, add --skip-broken"

    /// If no size is requested, all images must have the first image's size.
    init(_ folder: ImageFolder, _ request: ImageRequest) throws {
        if !request.skipBroken, let first = folder.misnamed.first { throw InputError("\(first); \(Self.advice)") }
        guard folder.files.count <= ImageSource.largestCount else {
            throw InputError(
                "\(folder.path): has \(folder.files.count) images, expected at most \(ImageSource.largestCount)")
        }
        self.folder = folder
        side = request.imageSize
        progress = request.progress
        let channels = request.channels == 0 ? 3 : request.channels
        if side > 0 {
            shape = ImageShape(height: side, width: side, channels: channels)
            return
        }
        let first = try Self.advising { try ImageDecoder.size(of: folder.files[0]) }
        let limit = ImageShape.longestSide
        guard first.height <= limit, first.width <= limit else {
            throw InputError(
                "\(folder.files[0]): is \(first.height)x\(first.width), expected sides of at most \(limit): to resize "
                    + "all images, add --set data.imageSize=64")
        }
        shape = ImageShape(height: first.height, width: first.width, channels: channels)
    }

    /// The shape that images will have, if the first one's can be told. It may be broken.
    static func shape(_ folder: ImageFolder, _ request: ImageRequest) -> ImageShape? {
        let (side, channels) = (request.imageSize, request.channels == 0 ? 3 : request.channels)
        if side > 0 { return ImageShape(height: side, width: side, channels: channels) }
        guard let file = folder.files.first, let first = try? ImageDecoder.size(of: file) else { return nil }
        return ImageShape(height: first.height, width: first.width, channels: channels)
    }

    /// Paths relative to the folder's.
    func names(of images: Range<Int>) -> [String]? {
        let parent = join(folder.path, "").utf8.count
        return folder.files[images].map { String(Substring($0.utf8.dropFirst(parent))) }
    }

    func load(images range: Range<Int>) throws -> ImageBlock {
        var remarks = RemarkedFiles()
        let pixels = try [UInt8](unsafeUninitializedCapacity: range.count * shape.size) { buffer, initialized in
            guard let target = buffer.baseAddress else { return }
            for index in range {
                progress?(.decoding, index - range.lowerBound, range.count)
                let image = try Self.advising {
                    try ImageDecoder.decode(folder.files[index], channels: shape.channels, side: side)
                }
                try write(image, of: folder.files[index], into: target + initialized)
                initialized += shape.size
                remarks.add(image.remarks, folder.files[index])
            }
        }
        return ImageBlock(
            pixels: .bytes(.array(pixels)), labels: folder.labels.map { Array($0[range]) }, remarks: remarks)
    }

    private func write(_ image: DecodedImage, of file: String, into target: UnsafeMutablePointer<UInt8>) throws {
        try image.pixels.withUnsafeBufferPointer { pixels in
            guard let source = pixels.baseAddress else { return }
            if side > 0 { return resizeAndCrop(source, image.shape, to: side, into: target) }
            guard image.shape == shape else {
                throw InputError(
                    "\(file): is \(image.shape.height)x\(image.shape.width), but \(folder.files[0]) is "
                        + "\(shape.height)x\(shape.width): to resize all images, add --set data.imageSize=64 (or "
                        + "another size)")
            }
            target.update(from: source, count: shape.size)
        }
    }

    private static func advising<Result>(_ work: () throws -> Result) throws -> Result {
        do { return try work() } catch let error as InputError { throw InputError("\(error); \(advice)") }
    }
}
