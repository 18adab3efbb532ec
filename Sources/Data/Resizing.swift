import CSTBImageResize
import Collectives

/// A type of pixel that stb_image_resize knows.
protocol ResizableValue: BitwiseCopyable {
    static var stbType: stbir_datatype { get }
    static var zero: Self { get }
}

extension UInt8: ResizableValue {
    static var stbType: stbir_datatype { STBIR_TYPE_UINT8 }
}

extension Float: ResizableValue {
    static var stbType: stbir_datatype { STBIR_TYPE_FLOAT }
}

/// Resizes the shorter side to `side` and cuts a square out of the middle: `[height, width, channels]` to
/// `[side, side, channels]`.
///
/// The filter is a triangle as wide as the step between samples, so that shrinking averages over all pixels, as Pillow's
/// `BILINEAR` does. Up to 64 channels. C: `stbir_resize_region`.
func resizeAndCrop<Value: ResizableValue>(
    _ image: UnsafePointer<Value>, _ shape: ImageShape, to side: Int, into result: UnsafeMutablePointer<Value>
) throws {
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
    let isDone = stbir_resize_region(
        image, Int32(width), Int32(height), 0, result, Int32(side), Int32(side), 0, Value.stbType, Int32(channels),
        STBIR_ALPHA_CHANNEL_NONE, 0, STBIR_EDGE_CLAMP, STBIR_EDGE_CLAMP, STBIR_FILTER_TRIANGLE, STBIR_FILTER_TRIANGLE,
        STBIR_COLORSPACE_LINEAR, nil, Float(left) / Float(width), Float(top) / Float(height),
        Float(left + square) / Float(width), Float(top + square) / Float(height))
    guard isDone == 1 else { throw InputError("no memory to resize \(height)x\(width) to \(side)x\(side)") }
}

/// The images of another reader, resized and cropped.
struct ResizingReader: ImageReader {
    private let base: any ImageReader
    let shape: ImageShape

    /// Values that are read at a time, to hold no more of the originals. Above the whole of Fashion-MNIST, which as a
    /// compressed file is read from its start each time.
    private static let chunk = 1 << 26

    var count: Int { base.count }
    var classes: Int? { base.classes }
    var fingerprint: Int { base.fingerprint }

    init(_ base: any ImageReader, to side: Int, path: String) throws {
        guard !base.shape.isVector else {
            throw InputError("\(path): holds vectors, which data.imageSize=\(side) can't resize: leave it out")
        }
        self.base = base
        shape = ImageShape(height: side, width: side, channels: base.shape.channels)
    }

    func load(images range: Range<Int>) throws -> ImageBlock {
        guard !range.isEmpty else { return try base.load(images: range) }
        var (bytes, floats): ([UInt8], [Float]) = ([], [])
        var labels: [Int32]? = base.classes == nil ? nil : []
        let step = max(1, Self.chunk / base.shape.size)
        for first in stride(from: range.lowerBound, to: range.upperBound, by: step) {
            let block = try base.load(images: first..<min(first + step, range.upperBound))
            switch block.pixels {
            case .bytes(let values): try resize(values, onto: &bytes, reserving: range.count)
            case .floats(let values): try resize(values, onto: &floats, reserving: range.count)
            }
            if let own = block.labels { labels?.append(contentsOf: own) }
        }
        return ImageBlock(pixels: floats.isEmpty ? .bytes(bytes) : .floats(floats), labels: labels)
    }

    private func resize<Value: ResizableValue>(
        _ values: [Value], onto result: inout [Value], reserving count: Int
    ) throws {
        if result.isEmpty { result.reserveCapacity(count * shape.size) }
        var image = [Value](repeating: .zero, count: shape.size)
        for start in stride(from: 0, to: values.count, by: base.shape.size) {
            try values.withUnsafeBufferPointer { values in
                try image.withUnsafeMutableBufferPointer { image in
                    guard let source = values.baseAddress, let target = image.baseAddress else { return }
                    try resizeAndCrop(source + start, base.shape, to: shape.width, into: target)
                }
            }
            result += image
        }
    }
}
