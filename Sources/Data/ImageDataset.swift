import Collectives

/// The images that one rank holds, as bytes, and what turns them into batches.
package final class ImageDataset: Sendable {
    package let shape: ImageShape
    /// Images in the whole data set, over all ranks.
    package let count: Int
    /// Classes in the whole data set; nil without labels.
    package let classes: Int?
    /// The images held, as numbers in the data set.
    package let images: Range<Int>
    /// One for each image held, in order; nil when the source has none.
    package let labels: [UInt8]?
    /// `[images.count, height, width, channels]`.
    private let pixels: [UInt8]

    /// Reads a rank's own images. Fallible on one rank and not on another, so call it inside `ranks.agree { }`, and
    /// what is collective (`Normalisation.init(of:over:)`) outside of it:
    ///
    ///     let dataset = try ranks.agree {
    ///         let source = try ImageSource(path: path, split: .train)
    ///         let shards = try VirtualShards(imageCount: source.count)
    ///         try shards.check(worldSize: ranks.worldSize)
    ///         let own = shards.ownedImages(rank: ranks.rank, worldSize: ranks.worldSize)
    ///         return try ImageDataset(source, images: own)
    ///     }
    ///     let normalisation = try Normalisation(of: dataset, over: ranks)
    package init(_ source: ImageSource, images: Range<Int>) throws {
        let block = try source.load(images: images)
        shape = source.shape
        count = source.count
        classes = source.classes
        self.images = images
        labels = block.labels
        pixels = block.pixels
    }

    /// `[channels, 256]`: how often each value occurs in the images held.
    package func valueCounts() -> [Int] {
        let channels = shape.channels
        var counts = [Int](repeating: 0, count: 256 * channels)
        counts.withUnsafeMutableBufferPointer { counts in
            pixels.withUnsafeBufferPointer { pixels in
                for start in stride(from: 0, to: pixels.count, by: channels) {
                    for channel in 0..<channels { counts[256 &* channel &+ Int(pixels[start &+ channel])] &+= 1 }
                }
            }
        }
        return counts
    }

    /// Writes images as they are, normalised, into `[indices.count, height, width, channels]`.
    ///
    /// - Parameter indices: numbers in the data set, of images held here, in any order.
    package func fill(
        _ destination: UnsafeMutablePointer<Float>, indices: [Int], normalisation: Normalisation
    ) {
        let pixelCount = shape.height * shape.width
        forEach(indices, normalisation) { slot, _, image, table in
            convert(
                image, step: shape.channels, pixels: pixelCount, shape.channels, table,
                into: destination + slot * shape.size)
        }
    }

    /// Writes augmented images, normalised, into `[indices.count, height, width, channels]`.
    ///
    /// Padding is of pixel value 0 put on before normalisation, so it holds (0 - mean) / deviation.
    /// - Parameters:
    ///   - indices: numbers in the data set, of images held here, in any order.
    ///   - augmentation: one that `check(shape:)` has passed.
    ///   - epoch: with `seed` and the image's number it decides what is done to an image.
    package func fill(
        _ destination: UnsafeMutablePointer<Float>, indices: [Int], normalisation: Normalisation,
        augmentation: Augmentation, seed: UInt64, epoch: Int
    ) {
        forEach(indices, normalisation) { slot, index, image, table in
            let view = augmentation.view(seed: seed, epoch: epoch, image: index)
            render(image, shape, view, table: table, into: destination + slot * shape.size)
        }
    }

    /// Calls `body` with each index's place in the list, itself, its pixels, and the table of normalised values.
    private func forEach(
        _ indices: [Int], _ normalisation: Normalisation,
        _ body: (Int, Int, UnsafePointer<UInt8>, UnsafePointer<Float>) -> Void
    ) {
        precondition(normalisation.mean.count == shape.channels, "normalisation of other channels")
        normalisation.table().withUnsafeBufferPointer { table in
            pixels.withUnsafeBufferPointer { pixels in
                guard let table = table.baseAddress, let pixels = pixels.baseAddress else { return }
                for (slot, index) in indices.enumerated() {
                    precondition(images.contains(index), "image \(index) is not among \(images)")
                    body(slot, index, pixels + (index - images.lowerBound) * shape.size, table)
                }
            }
        }
    }
}
