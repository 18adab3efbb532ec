import Collectives
import Foundation

/// The images that one rank holds, as they were stored, and what turns them into batches.
package final class ImageDataset: Sendable {
    package let shape: ImageShape
    /// Images in the whole data set, over all ranks.
    package let count: Int
    /// The images held, as numbers in the data set.
    package let images: Range<Int>
    /// One for each image held, in order, as the data have them, or `noLabel`; nil when the source has none.
    package let labels: [Int32]?
    /// `[images.count, height, width, channels]`.
    let pixels: Pixels
    /// Of the image files held.
    let remarks: RemarkedFiles
    /// What floats were shifted and divided by, by channel; nil where they stand for themselves.
    let scale: ColumnScale?

    /// Whether pixels are whole numbers 0...255, and not numbers of any range.
    package var holdsBytes: Bool {
        if case .bytes = pixels { true } else { false }
    }

    /// Reads a rank's own images. Fallible on one rank and not on another, so call it inside `ranks.agree { }`, and
    /// what is collective outside of it:
    ///
    ///     let source = try ImageSource(ImageRequest(path: path), ranks: ranks)
    ///     let shards = try VirtualShards(imageCount: source.count)
    ///     let dataset = try ranks.agree {
    ///         try shards.check(worldSize: ranks.worldSize)
    ///         let own = shards.ownedImages(rank: ranks.rank, worldSize: ranks.worldSize)
    ///         return try ImageDataset(source, images: own)
    ///     }
    ///     let statistics = try ChannelStatistics(of: dataset, in: shards, over: ranks)
    package init(_ source: ImageSource, images: Range<Int>) throws {
        try Self.check(images.count, source.shape, valueSize: source.valueSize, path: source.path)
        let block = try source.load(images: images)
        shape = source.shape
        count = source.count
        scale = source.scale
        self.images = images
        labels = block.labels
        pixels = block.pixels
        remarks = block.remarks
    }

    /// Throws when so many images, of values of so many bytes, can't fit the machine's memory.
    static func check(
        _ count: Int, _ shape: ImageShape, valueSize: Int, path: String,
        memory: UInt64 = ProcessInfo.processInfo.physicalMemory
    ) throws {
        let bytes = Double(count) * Double(shape.size * valueSize)
        guard bytes <= Double(memory) else {
            func gigabytes(_ bytes: Double) -> String { String(format: "%.1f GB", bytes / 1e9) }
            throw InputError(
                "\(path): \(count) images of \(shape.height)x\(shape.width)x\(shape.channels) on one rank take "
                    + "\(gigabytes(bytes)), and the machine has \(gigabytes(Double(memory))): "
                    + "use more machines, or --set data.imageSize=64 (or another)")
        }
    }

    /// Throws `InputError` where some value held here is outside 0...1. Bytes are inside.
    func checkUnitRange(path: String) throws {
        guard case .floats(let values) = pixels else { return }
        func value(_ place: Int) -> Double {
            scale?.undone(values[place], column: place % shape.channels) ?? Double(values[place])
        }
        // What was scaled comes back with the rounding of a Float.
        let range = scale == nil ? 0...1 : -1e-6...1 + 1e-6
        guard let place = values.indices.first(where: { !range.contains(value($0)) }) else { return }
        throw InputError(
            "\(path): image \(images.lowerBound + place / shape.size) has the value \(Float(value(place))), and this method "
                + "takes values in 0...1 only: scale the array, or store it as bytes")
    }

    /// Writes images as they are, normalised, into `[indices.count, height, width, channels]`.
    ///
    /// - Parameter indices: numbers in the data set, of images held here, in any order.
    package func fill(
        _ destination: UnsafeMutablePointer<Float>, indices: [Int], normalisation: Normalisation
    ) {
        fill(destination, indices, normalisation) { _ in nil }
    }

    /// Writes augmented images, normalised, into `[indices.count, height, width, channels]`.
    ///
    /// - Parameters:
    ///   - indices: numbers in the data set, of images held here, in any order.
    ///   - augmentation: one that `check(shape:)` has passed.
    ///   - epoch: with `seed`, the image's number and `view` it decides what is done to an image.
    package func fill(
        _ destination: UnsafeMutablePointer<Float>, indices: [Int], normalisation: Normalisation,
        augmentation: Augmentation, seed: UInt64, epoch: Int, view: Int = 0
    ) {
        fill(destination, indices, normalisation) {
            augmentation.view(seed: seed, epoch: epoch, image: $0, view: view)
        }
    }

    private func fill(
        _ destination: UnsafeMutablePointer<Float>, _ indices: [Int], _ normalisation: Normalisation,
        view: (Int) -> ImageView?
    ) {
        precondition(normalisation.mean.count == shape.channels, "normalisation of other channels")
        switch pixels {
        case .bytes(let values):
            normalisation.table().withUnsafeBufferPointer { table in
                guard let table = table.baseAddress else { return }
                let plain = ByteConversion(table: table, channels: shape.channels)
                forEach(indices, of: values, destination) { image, index, target in
                    let view = view(index)
                    if let view, let colours = view.colours {
                        let conversion = ColourConversion(
                            colours, image: image, pixels: shape.height * shape.width, normalisation: normalisation)
                        render(image, shape, view, conversion, into: target)
                    } else {
                        write(image, view, plain, target)
                    }
                }
            }
        case .floats(let values):
            let (means, deviations) = normalisation.floats(of: scale)
            means.withUnsafeBufferPointer { mean in
                deviations.withUnsafeBufferPointer { deviation in
                    guard let mean = mean.baseAddress, let deviation = deviation.baseAddress else { return }
                    let conversion = FloatConversion(mean: mean, deviation: deviation, channels: shape.channels)
                    forEach(indices, of: values, destination) { write($0, view($1), conversion, $2) }
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

    /// Visits images with their numbers, and the places in `destination` that are theirs.
    private func forEach<Stored>(
        _ indices: [Int], of values: [Stored], _ destination: UnsafeMutablePointer<Float>,
        _ body: (_ image: UnsafePointer<Stored>, _ index: Int, _ target: UnsafeMutablePointer<Float>) -> Void
    ) {
        values.withUnsafeBufferPointer { values in
            guard let first = values.baseAddress else { return }
            for (slot, index) in indices.enumerated() {
                precondition(images.contains(index), "image \(index) is not among \(images)")
                body(first + (index - images.lowerBound) * shape.size, index, destination + slot * shape.size)
            }
        }
    }
}
