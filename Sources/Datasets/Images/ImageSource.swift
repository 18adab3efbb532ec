import Collectives

/// A request for images: which, and in which form.
package struct ImageRequest: Sendable {
    /// `--data PATH`.
    package var path: String
    package var split: Split
    /// Side in pixels of the squares that images are resized and cropped to, up to `ImageShape.longestSide`; 0 leaves
    /// them as they are.
    package var imageSize: Int
    /// Channels. For image files 1 (grey) or 3; 0 gives 3 for image files, and leaves other formats as they are.
    package var channels: Int
    /// Order of axes of `.npy` images.
    package var layout: ArrayLayout
    /// Leave out image files that can't be read or decoded.
    package var skipBroken: Bool
    /// Whether labels are read. Otherwise files of labels are ignored.
    package var isLabelled = true
    /// Number of ranks on this machine, with this one, which share its memory to hold their images; nil where images
    /// aren't held.
    package var neighbours: Int?
    /// Called for images that this rank has read to hold them, or to find broken ones, with the number of those before,
    /// and the total.
    package var progress: Progress?

    package typealias Progress = @Sendable (_ stage: LoadingStage, _ done: Int, _ count: Int) -> Void

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

/// A set of labelled or unlabelled images on disk. Sizes have been read, pixels not yet.
package struct ImageSource: Sendable {
    /// Most images, because permutations hold indices as Int32.
    static let largestCount = Int(Int32.max)

    package let path: String
    package let format: ImageFormat
    /// A line about each file that was left out, in the order of the files.
    package let skipped: [String]
    /// A line for each guess and each thing that was left out.
    package let notes: [String]
    private let reader: any ImageReader
    /// Number of ranks that share this machine's memory.
    let neighbours: Int

    /// Whether `path` is a folder with files for each split. A single file has no splits.
    package let hasSplits: Bool

    /// Images in the whole split, at least 1.
    package var count: Int { reader.count }
    package var shape: ImageShape { reader.shape }
    /// Names of classes by label, for image files, and arrays with a file of names; nil for others or without labels.
    package var classNames: [String]? { reader.classNames }
    /// Changes since earlier versions of reading, as far as they are known before loading.
    var changes: [ReadingChange] { reader.changes }
    /// Bytes of a value in memory: 1 for bytes, 4 for floats.
    var valueSize: Int { reader.valueSize }
    /// Whether values stay in the file, mapped, and take no memory of this process.
    package var isMapped: Bool { reader.isMapped }
    /// Shift and unit of float values, by channel; nil for values without them.
    var scale: ColumnScale? { reader.scale }
    /// A number that very probably differs where the files differ.
    var fingerprint: Int { reader.fingerprint }

    /// Opens `--data PATH`: a folder, whose files determine the format, or one file.
    ///
    /// Sizes are compared with the files; pixels aren't read. `split` selects among a folder's files. For a path to one
    /// file, a labels file beside it is used too. It may fail on one rank only, so call it inside `ranks.agree { }`.
    /// Every error is an `InputError` that names the file.
    package init(path: String, split: Split) throws {
        let request = ImageRequest(path: path, split: split)
        try self.init(try ImageFiles(path: path, split: split), request)
    }

    /// Opens the requested images, the same on every rank. Collective: outside `ranks.agree { }`.
    ///
    /// To find broken files, the ranks first decode all files together, each its share. The other files are numbered
    /// afterwards, so the set doesn't depend on the number of ranks. Before that, images that don't fit the memory are
    /// refused.
    package init(_ request: ImageRequest, ranks: any Ranks) throws {
        var files = try ranks.agree {
            guard !request.path.isEmpty else {
                throw InputError("no data: add --data PATH, a folder or file of images")
            }
            return try ImageFiles(path: request.path, split: request.split)
        }
        var skipped: [String] = []
        if request.skipBroken, case .folder(let all) = files {
            if let neighbours = request.neighbours {
                try ranks.agree {
                    guard let shape = ImageFolderReader.shape(all, request) else { return }
                    try ImageDataset.check(
                        all.files.count / ranks.worldSize, shape, valueSize: 1, path: request.path,
                        neighbours: neighbours)
                }
            }
            let kept: ImageFolder
            (kept, skipped) = try all.withoutBroken(request, ranks: ranks)
            files = .folder(kept)
        }
        let source = try ranks.agree { try ImageSource(files, request, skipped: skipped) }
        let seen = try ranks.gather(source.reader.fingerprint)
        try ranks.agree {
            guard Set(seen).count == 1 else {
                throw InputError(
                    "\(request.path): ranks see different files there: use a folder that all hosts "
                        + "share, or equal copies")
            }
        }
        self = source
    }

    private init(_ files: ImageFiles, _ request: ImageRequest, skipped: [String] = []) throws {
        path = request.path
        format = files.format
        hasSplits = files.hasSplits ?? isFolder(path)
        self.skipped = skipped
        neighbours = request.neighbours ?? 1
        var request = request
        if request.neighbours == nil { request.progress = nil }  // who loads them in parts knows how far that is
        let reader = try files.reader(request)
        notes = try files.notes(in: path) + reader.notes
        guard request.channels == 0 || request.channels == reader.shape.channels else {
            throw InputError(
                "\(path): has images of \(reader.shape.channels) channels, but "
                    + "data.channels=\(request.channels) converts only image files: leave it out")
        }
        let (height, width) = (reader.shape.height, reader.shape.width)
        // Image files are resized when they are decoded.
        let isReady =
            request.imageSize == 0 || format == .folder || (height, width) == (request.imageSize, request.imageSize)
        self.reader = isReady ? reader : try ResizingReader(reader, to: request.imageSize, path: path)
    }

    /// Reads these images and their labels. Call it inside `ranks.agree { }`.
    package func load(images: Range<Int>) throws -> ImageBlock {
        precondition(images.lowerBound >= 0 && images.upperBound <= count, "images \(images) of \(count)")
        return try reader.load(images: images)
    }

    /// `[images.count]`: for image files, their paths relative to `path`, such as `train/cat/001.png`; for arrays, the
    /// lines of `NumPyNames`; nil for other formats, or without that file.
    package func names(of images: Range<Int>) throws -> [String]? {
        precondition(images.lowerBound >= 0 && images.upperBound <= count, "images \(images) of \(count)")
        return try reader.names(of: images)
    }
}
