import Collectives
import Foundation
import Tensors

/// The images that one rank holds, as stored, and their conversion into batches.
package final class ImageDataset: Sendable {
    package let shape: ImageShape
    /// Images in the whole data set, over all ranks.
    package let count: Int
    /// Indices in the data set of the images held here.
    package let images: Range<Int>
    /// The label of each image held here, in order, as in the data, or `noLabel`; nil when the source has none.
    package let labels: [Int32]?
    /// `[images.count, height, width, channels]`.
    let pixels: Pixels
    /// Remarks on the image files held here.
    let remarks: RemarkedFiles
    /// Shift and unit of float values, by channel; nil for values without them.
    let scale: ColumnScale?

    /// Whether pixels stay in the file, mapped.
    package var isMapped: Bool { pixels.isMapped }

    /// Whether pixels are bytes 0...255, not floats of any range.
    package var holdsBytes: Bool {
        if case .bytes = pixels { true } else { false }
    }

    /// Reads or maps a rank's own images. It may fail on one rank only, so call it inside `ranks.agree { }`, and
    /// collective functions outside:
    ///
    ///     let source = try ImageSource(ImageRequest(path: path), ranks: ranks)
    ///     let shards = try VirtualShards(imageCount: source.count)
    ///     let dataset = try ranks.agree {
    ///         try shards.check(worldSize: ranks.worldSize)
    ///         let own = shards.ownedImages(rank: ranks.rank, worldSize: ranks.worldSize)
    ///         return try ImageDataset(source, images: own)
    ///     }
    ///     let statistics = try ChannelStatistics(of: dataset, in: shards, over: ranks)
    ///
    /// - Throws: `InputError`, before anything is read, for images that stay in memory and don't fit a rank's part.
    package init(_ source: ImageSource, images: Range<Int>) throws {
        if !source.isMapped {
            try Self.check(
                images.count, source.shape, valueSize: source.valueSize, path: source.path,
                neighbours: source.neighbours)
        }
        let block = try source.load(images: images)
        shape = source.shape
        count = source.count
        scale = source.scale
        self.images = images
        labels = block.labels
        pixels = block.pixels
        remarks = block.remarks
    }

    /// Throws when this number of images doesn't fit a rank's part of the machine's memory, which all `neighbours`
    /// share equally.
    static func check(
        _ count: Int, _ shape: ImageShape, valueSize: Int, path: String, neighbours: Int = 1,
        memory: UInt64 = ProcessInfo.processInfo.physicalMemory
    ) throws {
        let bytes = Double(count) * Double(shape.size * valueSize)
        guard bytes <= Double(memory) / Double(neighbours) else {
            func gigabytes(_ bytes: Double) -> String { String(format: "%.1f GB", bytes / 1e9) }
            let sharing = neighbours == 1 ? "" : " for its \(neighbours) ranks"
            throw InputError(
                "\(path): the \(count) images of \(shape.height)x\(shape.width)x\(shape.channels) of one rank take "
                    + "\(gigabytes(bytes)), but the machine has \(gigabytes(Double(memory)))\(sharing): pack them by "
                    + "dim-dist pack --data \(path) --output DIR and use DIR, which may be larger than the memory; or "
                    + "use more machines, or smaller images by --set data.imageSize=64 (or another size)")
        }
    }

    /// The label of an image held here, by its index in the data set; `noLabel` where it has none.
    func label(_ image: Int) -> Int32 { labels?[image - images.lowerBound] ?? noLabel }

    /// Throws `InputError` where a value held here is outside 0...1. Bytes never are.
    func checkUnitRange(path: String) throws {
        guard case .floats(let values) = pixels else { return }
        try values.withUnsafeBufferPointer { values in
            func value(_ index: Int) -> Double {
                scale?.undone(values[index], column: index % shape.channels) ?? Double(values[index])
            }
            // Undoing a scale leaves the rounding of a Float.
            let range = scale == nil ? 0...1 : -1e-6...1 + 1e-6
            guard let index = values.indices.first(where: { !range.contains(value($0)) }) else { return }
            throw InputError(
                "\(path): image \(images.lowerBound + index / shape.size) has the value \(Float(value(index))), but "
                    + "this method needs values in 0...1: scale the array, or store it as bytes")
        }
    }

    /// Tells the system that batches come in random order from now on. Only for mapped images.
    func expectRandomOrder() { pixels.expectRandomOrder() }

    /// Lets the system read mapped images that a later `fill` will use, without waiting for them.
    /// - Parameter indices: indices in the data set of images held here.
    func prefetch(_ indices: [Int]) {
        let size = shape.size * (holdsBytes ? MemoryLayout<UInt8>.size : MemoryLayout<Float>.size)
        for index in indices {
            let first = (index - images.lowerBound) * size
            pixels.prefetch(bytes: first..<first + size)
        }
    }

    /// Images that are already in memory, all on this rank.
    package init(bytes: [UInt8], shape: ImageShape) {
        precondition(bytes.count % shape.size == 0, "\(bytes.count) bytes are no images of \(shape)")
        self.shape = shape
        count = bytes.count / shape.size
        images = 0..<count
        (labels, scale) = (nil, nil)
        pixels = .bytes(.array(bytes))
        remarks = RemarkedFiles()
    }

    // MARK: - Batches

    /// Writes images as they are, normalised, into `[indices.count, height, width, channels]`.
    ///
    /// - Parameter indices: indices in the data set of images held here, in any order.
    package func fill(
        _ destination: UnsafeMutablePointer<Float>, indices: [Int], normalisation: Normalisation
    ) {
        fill(destination, indices[...], normalisation, ViewFrame(shape)) { _ in nil }
    }

    /// Writes the same window of each image, resized to a square of `side`, or to the images' own size where it is nil.
    func fill(
        _ destination: UnsafeMutablePointer<Float>, indices: [Int], normalisation: Normalisation, window: PixelWindow,
        side: Int?
    ) {
        let view = ImageView(top: 0, left: 0, isMirrored: false, crop: window)
        fill(destination, indices[...], normalisation, ViewFrame(shape, side: side)) { _ in view }
    }

    /// Writes augmented images, normalised, into `[indices.count, height, width, channels]`.
    ///
    /// - Parameters:
    ///   - indices: indices in the data set of images held here, in any order.
    ///   - augmentation: one that passed `check(shape:)`.
    ///   - epoch: together with `seed`, the image's index and `view`, it decides the changes of an image.
    ///   - side: height and width of the result; nil for the images' own.
    ///   - isParallel: whether to use the threads of this rank's kernels, from the thread that they belong to.
    package func fill(
        _ destination: UnsafeMutablePointer<Float>, indices: [Int], normalisation: Normalisation,
        augmentation: Augmentation, seed: UInt64, epoch: Int, view: Int = 0, side: Int? = nil, isParallel: Bool = false
    ) {
        let frame = ViewFrame(shape, side: side)
        func fill(_ part: Range<Int>) {
            self.fill(destination + part.lowerBound * frame.size, indices[part], normalisation, frame) {
                augmentation.view(seed: seed, epoch: epoch, image: $0, view: view, in: frame)
            }
        }
        guard isParallel else { return fill(indices.indices) }
        inParallel(indices.count, elements: 4 * frame.size) { fill($0) }
    }

    private func fill(
        _ destination: UnsafeMutablePointer<Float>, _ indices: ArraySlice<Int>, _ normalisation: Normalisation,
        _ frame: ViewFrame, view: (Int) -> ImageView?
    ) {
        precondition(normalisation.mean.count == shape.channels, "normalisation of other channels")
        let units = normalisation.floats().deviation
        let (means, deviations) = normalisation.floats(of: scale)
        lazy var painter = ViewPainter(frame, mean: means, deviation: deviations)
        switch pixels {
        case .bytes(let values):
            normalisation.table().withUnsafeBufferPointer { table in
                guard let table = table.baseAddress else { return }
                let plain = ByteConversion(table: table, channels: shape.channels)
                forEach(indices, of: values, destination, frame) { image, index, target in
                    let view = view(index)
                    if let view, !view.onlyMoves(in: frame) {
                        painter.paint(image, view, into: target)
                    } else if let view, let colours = view.colours {
                        let conversion = ColourConversion(
                            colours, image: image, pixels: shape.height * shape.width, normalisation: normalisation)
                        render(image, shape, view, conversion, into: target)
                    } else {
                        write(image, view, plain, target)
                    }
                    if let view { disturb(target, view, in: frame, deviation: units) }
                }
            }
        case .floats(let values):
            means.withUnsafeBufferPointer { mean in
                deviations.withUnsafeBufferPointer { deviation in
                    guard let mean = mean.baseAddress, let deviation = deviation.baseAddress else { return }
                    let plain = FloatConversion(mean: mean, deviation: deviation, channels: shape.channels)
                    forEach(indices, of: values, destination, frame) { image, index, target in
                        let view = view(index)
                        if let view, !view.onlyMoves(in: frame) {
                            painter.paint(image, view, into: target)
                        } else {
                            write(image, view, plain, target)
                        }
                        if let view { disturb(target, view, in: frame, deviation: units) }
                    }
                }
            }
        }
    }

    private func write<Conversion: PixelConversion>(
        _ image: UnsafePointer<Conversion.Stored>, _ view: ImageView?, _ conversion: Conversion,
        _ target: UnsafeMutablePointer<Float>
    ) {
        if let view {
            render(image, shape, view, conversion, into: target)
        } else {
            conversion.convert(image, step: shape.channels, pixels: shape.height * shape.width, into: target)
        }
    }

    /// Calls `body` with images, their indices and their parts of `destination`.
    private func forEach<Stored>(
        _ indices: ArraySlice<Int>, of values: StoredValues<Stored>, _ destination: UnsafeMutablePointer<Float>,
        _ frame: ViewFrame,
        _ body: (_ image: UnsafePointer<Stored>, _ index: Int, _ target: UnsafeMutablePointer<Float>) -> Void
    ) {
        values.withUnsafeBufferPointer { values in
            guard let first = values.baseAddress else { return }
            for (slot, index) in indices.enumerated() {
                precondition(images.contains(index), "image \(index) is not among \(images)")
                body(first + (index - images.lowerBound) * shape.size, index, destination + slot * frame.size)
            }
        }
    }
}
