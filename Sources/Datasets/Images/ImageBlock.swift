import Collectives

/// The splits of a data set.
package enum Split: String, Choice {
    case train
    case test
    /// Images without labels that come beside the labelled ones, as in STL-10.
    case unlabelled
}

/// Sizes of one image, stored as `[height, width, channels]`. A vector is an image of one pixel.
package struct ImageShape: Codable, Equatable, Sendable {
    /// The longest side of an image in memory. A header that claims a longer one is refused.
    package static let longestSide = 4096

    package let height: Int
    package let width: Int
    package let channels: Int

    package init(height: Int, width: Int, channels: Int) {
        self.height = height
        self.width = width
        self.channels = channels
    }

    /// Values in one image.
    package var size: Int { height * width * channels }

    var isVector: Bool { height == 1 && width == 1 }
}

/// Values of images, `[count, height, width, channels]`.
package enum Pixels: Equatable, Sendable {
    /// A byte v stands for v/255.
    case bytes(StoredValues<UInt8>)
    /// Values as they are, or shifted and divided by the reader's `scale`; all finite.
    case floats(StoredValues<Float>)

    package var count: Int {
        switch self {
        case .bytes(let values): values.count
        case .floats(let values): values.count
        }
    }
}

/// The label that means no label.
package let noLabel: Int32 = -1

/// Consecutive images of a data set.
package struct ImageBlock: Sendable {
    /// `[images.count, height, width, channels]`.
    package let pixels: Pixels
    /// `[images.count]`, as in the data, from 0 on and with gaps, or `noLabel`; nil when the source has none, or none
    /// were requested.
    package let labels: [Int32]?
    /// Remarks on the image files.
    var remarks = RemarkedFiles()
}

/// A reader of one format.
protocol ImageReader: Sendable {
    var count: Int { get }
    var shape: ImageShape { get }
    /// Names of classes by label; nil where the format has none.
    var classNames: [String]? { get }
    /// Bytes of a value in memory.
    var valueSize: Int { get }
    /// Whether values stay in the file, mapped, and take no memory of this process.
    var isMapped: Bool { get }
    /// Shift and unit of float values, by channel; nil for values without them.
    var scale: ColumnScale? { get }
    /// A number that very probably differs where ranks see different files at the same path.
    var fingerprint: Int { get }
    /// A line for each guess and each thing that was left out.
    var notes: [String] { get }
    /// Changes since earlier versions of reading, as far as they are known before loading.
    var changes: [ReadingChange] { get }
    func load(images: Range<Int>) throws -> ImageBlock
    /// `[images.count]`; nil where images have no names.
    func names(of images: Range<Int>) throws -> [String]?
}

extension ImageReader {
    var classNames: [String]? { nil }
    var valueSize: Int { 1 }
    var isMapped: Bool { false }
    var scale: ColumnScale? { nil }
    var fingerprint: Int { count }
    var notes: [String] { [] }
    var changes: [ReadingChange] { [] }
    func names(of images: Range<Int>) -> [String]? { nil }
}
