import Collectives

/// Which images, and what they are made into.
package struct ImageRequest: Sendable {
    /// `--data PATH`.
    package var path: String
    package var split: Split
    /// Side in pixels of the squares that images are resized and cropped to, up to `ImageShape.longestSide`; 0 leaves
    /// them as they are.
    package var imageSize: Int
    /// 1 (grey) or 3, for image files; 0 makes those 3 and takes the others as they are.
    package var channels: Int
    /// Of `.npy` images.
    package var layout: ArrayLayout
    /// Leave out image files that can't be read or decoded.
    package var skipBroken: Bool
    /// Whether labels are read. Files of labels aren't looked at otherwise.
    package var isLabelled = true
    /// Told now and then how many image files this rank has decoded, and of how many.
    package var progress: (@Sendable (_ done: Int, _ count: Int) -> Void)?

    package init(
        path: String, split: Split = .train, imageSize: Int = 0, channels: Int = 0, layout: ArrayLayout = .automatic,
        skipBroken: Bool = false
    ) {
        self.path = path
        self.split = split
        self.imageSize = imageSize
        self.channels = channels
        self.layout = layout
        self.skipBroken = skipBroken
    }
}

/// A set of labelled or unlabelled images on disk, looked at but not yet read.
package struct ImageSource: Sendable {
    /// Permutations hold image numbers as Int32.
    static let largestCount = Int(Int32.max)

    package let path: String
    package let format: ImageFormat
    /// What was left out and why, a line for each file, in the order of the files.
    package let skipped: [String]
    /// A line for each thing that was guessed or left out while looking.
    package let notes: [String]
    private let reader: any ImageReader

    /// Whether `path` is a folder, which has its own files for each split; one file is all of its data.
    package let hasSplits: Bool

    /// Images in the whole split, at least 1.
    package var count: Int { reader.count }
    package var shape: ImageShape { reader.shape }
    /// By label: of image files, what their classes are called. nil for other formats or without labels.
    package var classNames: [String]? { reader.classNames }
    /// What earlier versions of reading read otherwise, as far as is known before anything is loaded.
    var changes: [ReadingChange] { reader.changes }
    /// Bytes of a value in memory: images as bytes, or as floats.
    var valueSize: Int { reader.valueSize }
    /// What floats were shifted and divided by, by channel; nil where they stand for themselves.
    var scale: ColumnScale? { reader.scale }

    /// Opens `--data PATH`: a folder whose format is told by the files in it, or one file.
    ///
    /// Sizes are held against the files, pixels aren't read. `split` picks among a folder's files; a path to one
    /// file is taken as it is, with the labels file beside it if there is one. Fallible on one rank and not on
    /// another, so call it inside `ranks.agree { }`. Every error is an `InputError` that names the file.
    package init(path: String, split: Split) throws {
        let request = ImageRequest(path: path, split: split)
        try self.init(try ImageFiles(path: path, split: split), request)
    }

    /// Opens what is asked for, the same on every rank. Collective: outside `ranks.agree { }`.
    ///
    /// To find broken files the ranks share a first decoding of all of them; what is left is then numbered, so the
    /// set doesn't depend on how many ranks there are.
    package init(_ request: ImageRequest, ranks: any Ranks) throws {
        var files = try ranks.agree {
            guard !request.path.isEmpty else {
                throw InputError("no data: say --data PATH, a folder or file of images")
            }
            return try ImageFiles(path: request.path, split: request.split)
        }
        var skipped: [String] = []
        if request.skipBroken, case .folder(let all) = files {
            let kept: ImageFolder
            (kept, skipped) = try all.withoutBroken(request, ranks: ranks)
            files = .folder(kept)
        }
        let source = try ranks.agree { try ImageSource(files, request, skipped: skipped) }
        let seen = try ranks.gather(source.reader.fingerprint)
        try ranks.agree {
            guard Set(seen).count == 1 else {
                throw InputError("\(request.path): ranks see other files there; use a shared folder, or equal copies")
            }
        }
        self = source
    }

    private init(_ files: ImageFiles, _ request: ImageRequest, skipped: [String] = []) throws {
        path = request.path
        format = files.format
        hasSplits = files.hasSplits ?? isFolder(path)
        self.skipped = skipped
        let reader = try files.reader(request)
        notes = try files.notes(in: path) + reader.notes
        guard request.channels == 0 || request.channels == reader.shape.channels else {
            throw InputError(
                "\(path): images have \(reader.shape.channels) channels, and data.channels=\(request.channels) converts "
                    + "image files only: leave it out")
        }
        let isReady = request.imageSize == 0 || format == .folder  // image files are resized as they are decoded
        self.reader = isReady ? reader : try ResizingReader(reader, to: request.imageSize, path: path)
    }

    /// Reads these images and their labels and no others. Call it inside `ranks.agree { }`.
    package func load(images: Range<Int>) throws -> ImageBlock {
        precondition(images.lowerBound >= 0 && images.upperBound <= count, "images \(images) of \(count)")
        return try reader.load(images: images)
    }

    /// `[images.count]`: of image files, their paths relative to `path`, as `train/cat/001.png`. nil for other formats.
    package func names(of images: Range<Int>) -> [String]? {
        precondition(images.lowerBound >= 0 && images.upperBound <= count, "images \(images) of \(count)")
        return reader.names(of: images)
    }
}
