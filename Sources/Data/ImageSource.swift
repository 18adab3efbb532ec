import Collectives

/// Which part of a data set.
package enum Split: String, Codable, CaseIterable, Sendable {
    case train
    case test
}

/// Sizes of one image, stored as `[height, width, channels]`.
package struct ImageShape: Codable, Equatable, Sendable {
    /// No format here has images with a longer side; a header that claims one is wrong.
    static let longestSide = 4096

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
}

/// Consecutive images of a data set.
package struct ImageBlock: Sendable {
    /// `[images.count, height, width, channels]`.
    package let pixels: [UInt8]
    /// `[images.count]`, each below the source's `classes`; nil when the source has none.
    package let labels: [UInt8]?
}

/// What a format's reader answers.
protocol ImageReader: Sendable {
    var count: Int { get }
    var shape: ImageShape { get }
    var classes: Int? { get }
    func load(images: Range<Int>) throws -> ImageBlock
}

/// A set of labelled or unlabelled images on disk, looked at but not yet read.
package struct ImageSource: Sendable {
    /// Permutations hold image numbers as Int32.
    static let largestCount = Int(Int32.max)

    package let path: String
    package let format: ImageFormat
    private let reader: any ImageReader

    /// Whether `path` is a folder, which has its own files for each split; one file is all of its data.
    package let hasSplits: Bool

    /// Images in the whole split, at least 1.
    package var count: Int { reader.count }
    package var shape: ImageShape { reader.shape }
    /// Labels lie below this; nil when there are none. In IDX files, which don't say, 1 + the largest label.
    package var classes: Int? { reader.classes }

    /// Opens `--data PATH`: a folder whose format is told by the files in it, or one file.
    ///
    /// Sizes are held against the files, pixels aren't read. `split` picks among a folder's files; a path to one
    /// file is taken as it is, with the IDX labels file beside it if there is one. Fallible on one rank and not on
    /// another, so call it inside `ranks.agree { }`. Every error is an `InputError` that names the file.
    package init(path: String, split: Split) throws {
        let files = try ImageFiles(path: path, split: split)
        self.path = path
        hasSplits = isFolder(path)
        switch files {
        case .idx(let images, let labels):
            format = .idx
            reader = try IDXReader(images: images, labels: labels)
        case .cifar10(let paths):
            format = .cifar10
            reader = try CIFARReader(paths: paths, kind: .cifar10)
        case .cifar100(let paths):
            format = .cifar100
            reader = try CIFARReader(paths: paths, kind: .cifar100)
        }
    }

    /// Reads these images and their labels and no others. Call it inside `ranks.agree { }`.
    package func load(images: Range<Int>) throws -> ImageBlock {
        precondition(images.lowerBound >= 0 && images.upperBound <= count, "images \(images) of \(count)")
        return try reader.load(images: images)
    }
}
