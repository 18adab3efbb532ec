import Collectives

/// Which part of a data set.
package enum Split: String, Choice {
    case train
    case test
    /// Images without labels that come beside the labelled ones, as in STL-10.
    case unlabelled
}

/// Sizes of one image, stored as `[height, width, channels]`. A vector is an image of one pixel.
package struct ImageShape: Codable, Equatable, Sendable {
    /// No image has a longer side once it is in memory; a header that claims one is wrong.
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
    case bytes([UInt8])
    /// Stand for themselves, or for what the reader's `scale` makes of them; all finite.
    case floats([Float])

    package var count: Int {
        switch self {
        case .bytes(let values): values.count
        case .floats(let values): values.count
        }
    }
}

/// The label of an image that has none, where others do.
package let noLabel: Int32 = -1

/// Consecutive images of a data set.
package struct ImageBlock: Sendable {
    /// `[images.count, height, width, channels]`.
    package let pixels: Pixels
    /// `[images.count]`, as the data have them, from 0 on and with gaps, or `noLabel`; nil when the source has none, or
    /// wasn't asked for any.
    package let labels: [Int32]?
    /// Of image files among them.
    var remarks = RemarkedFiles()
}

/// What a format's reader answers.
protocol ImageReader: Sendable {
    var count: Int { get }
    var shape: ImageShape { get }
    /// By label; nil where the format has none.
    var classNames: [String]? { get }
    /// Bytes of a value in memory.
    var valueSize: Int { get }
    /// What floats were shifted and divided by, by channel; nil where they stand for themselves.
    var scale: ColumnScale? { get }
    /// Differs, most likely, where two ranks see other files under one path.
    var fingerprint: Int { get }
    /// A line for each thing that was guessed or left out.
    var notes: [String] { get }
    /// What earlier versions of reading read otherwise, as far as is known before anything is loaded.
    var changes: [ReadingChange] { get }
    func load(images: Range<Int>) throws -> ImageBlock
    /// `[images.count]`; nil where images have no names.
    func names(of images: Range<Int>) -> [String]?
}

extension ImageReader {
    var classNames: [String]? { nil }
    var valueSize: Int { 1 }
    var scale: ColumnScale? { nil }
    var fingerprint: Int { count }
    var notes: [String] { [] }
    var changes: [ReadingChange] { [] }
    func names(of images: Range<Int>) -> [String]? { nil }
}
