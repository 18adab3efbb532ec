import Testing

@testable import Datasets

struct ImageDatasetTests {
    private let frame = ViewFrame(ImageShape(height: 32, width: 32, channels: 3))
    private let normalisation = Normalisation(mean: [0.25, 0.5, 0.75], deviation: [0.5, 2, 0.125])

    /// Three CIFAR images of scattered pixels.
    private func dataset(_ folder: TemporaryFolder, images: Range<Int> = 0..<3) throws -> ImageDataset {
        var bytes: [UInt8] = []
        for image in 0..<3 {
            bytes.append(UInt8(image))
            for i in 0..<3072 { bytes.append(UInt8(truncatingIfNeeded: i * i / 5 + i * image)) }
        }
        let path = try folder.write("test_batch.bin", bytes)
        return try ImageDataset(ImageSource(path: path, split: .test), images: images)
    }

    private func filled(_ count: Int, _ fill: (UnsafeMutablePointer<Float>) -> Void) throws -> [Float] {
        var values = [Float](repeating: .nan, count: count)
        try values.withUnsafeMutableBufferPointer { fill(try #require($0.baseAddress)) }
        return values
    }

    @Test func fillsNormalisedImagesInTheOrderAsked() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("images", imagesFile(count: 4, height: 2, width: 2))
        let data = try ImageDataset(ImageSource(path: path, split: .train), images: 1..<4)
        #expect(data.count == 4)
        #expect(data.labels == nil)
        let values = try filled(8) {
            data.fill($0, indices: [3, 1], normalisation: Normalisation(mean: [0.5], deviation: [0.25]))
        }
        let pixels: [Float] = [84, 91, 98, 105, 28, 35, 42, 49]
        #expect(values == pixels.map { ($0 / 255 - 0.5) / 0.25 })
    }

    @Test func holdsOwnLabelsOnly() throws {
        let data = try dataset(TemporaryFolder(), images: 1..<3)
        #expect(data.labels == [1, 2])
        #expect(data.count == 3)
        #expect(data.pixels.count == 2 * 3072)
    }

    /// Where a pixel past the edge comes from: 2 1 | 0 1 2 3 | 2 1.
    private func reflected(_ position: Int, _ size: Int) -> Int {
        position < 0 ? -position : position >= size ? 2 * size - 2 - position : position
    }

    /// Against a plain version: reflect, cut out, mirror, one pixel at a time.
    @Test(arguments: [-31, -4, -1, 0, 1, 3, 31], [-31, -4, 0, 2, 31])
    func viewsAreThoseOfThePlainVersion(top: Int, left: Int) throws {
        for shape in [(32, 32, 3), (33, 34, 1), (32, 40, 2)].map(ImageShape.init) {
            let image = (0..<shape.size).map { UInt8(truncatingIfNeeded: $0 * $0 / 3 + 1) }
            let table = (0..<256 * shape.channels).map { Float($0) + 0.5 }
            for isMirrored in [false, true] {
                let view = ImageView(top: top, left: left, isMirrored: isMirrored)
                let values = try filled(shape.size) { result in
                    table.withUnsafeBufferPointer { table in
                        guard let first = table.baseAddress else { return }
                        let conversion = ByteConversion(table: first, channels: shape.channels)
                        render(image, shape, view, conversion, into: result)
                    }
                }
                var expected: [Float] = []
                for y in 0..<shape.height {
                    for column in 0..<shape.width {
                        let x = isMirrored ? shape.width - 1 - column : column
                        for c in 0..<shape.channels {
                            let row = reflected(y + top, shape.height)
                            let from = reflected(x + left, shape.width)
                            let value = Int(image[(row * shape.width + from) * shape.channels + c])
                            expected.append(table[256 * c + value])
                        }
                    }
                }
                #expect(values == expected, "\(shape) \(view)")
            }
        }
    }

    @Test func augmentationFollowsFromSeedEpochAndImage() throws {
        let augmentation = Augmentation(padCrop: 4, flip: true)
        let views = (0..<4000).map { augmentation.view(seed: 1, epoch: 2, image: $0, in: frame) }
        #expect(Set(views.map(\.top)) == Set(-4...4))
        #expect(Set(views.map(\.left)) == Set(-4...4))
        // Four deviations of a fair coin.
        #expect(abs(views.count(where: \.isMirrored) - 2000) < 127)
        #expect(augmentation.view(seed: 1, epoch: 2, image: 5, in: frame) == views[5])
        #expect((0..<20).contains { augmentation.view(seed: 1, epoch: 3, image: $0, in: frame) != views[$0] })
        #expect((0..<20).contains { augmentation.view(seed: 2, epoch: 2, image: $0, in: frame) != views[$0] })
        var crop = augmentation
        crop.flip = false
        #expect((0..<20).allSatisfy { crop.view(seed: 1, epoch: 2, image: $0, in: frame).top == views[$0].top })
        let unchanged = Augmentation().view(seed: 1, epoch: 2, image: 9, in: frame)
        #expect(unchanged == ImageView(top: 0, left: 0, isMirrored: false))
    }

    @Test func augmentedFillShowsTheView() throws {
        let folder = try TemporaryFolder()
        let whole = try dataset(folder)
        let part = try dataset(folder, images: 2..<3)
        let augmentation = Augmentation(padCrop: 4, flip: true)
        let all = try filled(3 * 3072) {
            whole.fill(
                $0, indices: [0, 1, 2], normalisation: normalisation, augmentation: augmentation, seed: 7, epoch: 1)
        }
        let last = try filled(3072) {
            part.fill($0, indices: [2], normalisation: normalisation, augmentation: augmentation, seed: 7, epoch: 1)
        }
        #expect(Array(all.suffix(3072)) == last)
        let plain = try filled(3 * 3072) { whole.fill($0, indices: [0, 1, 2], normalisation: normalisation) }
        let same = try filled(3 * 3072) {
            whole.fill(
                $0, indices: [0, 1, 2], normalisation: normalisation, augmentation: Augmentation(), seed: 7, epoch: 1)
        }
        #expect(plain == same)
        #expect(plain != all)
    }

    @Test func refusesMoreThanTheMemory() throws {
        let shape = ImageShape(height: 256, width: 256, channels: 3)
        for (valueSize, memory) in [(1, 196_608_000), (4, 786_432_000)] as [(Int, UInt64)] {
            try ImageDataset.check(1000, shape, valueSize: valueSize, path: "x", memory: memory)
            expectInputError("x: the 1001 images of 256x256x3 of one rank take 0.", " GB, but the machine has 0.") {
                try ImageDataset.check(1001, shape, valueSize: valueSize, path: "x", memory: memory)
            }
        }
        // Three ranks of a machine have a third each.
        try ImageDataset.check(333, shape, valueSize: 1, path: "x", neighbours: 3, memory: 196_608_000)
        expectInputError("the machine has 0.2 GB for its 3 ranks", "dim-dist pack --data x --output DIR") {
            try ImageDataset.check(334, shape, valueSize: 1, path: "x", neighbours: 3, memory: 196_608_000)
        }
    }

    /// Before any is decoded: the first is broken, and nobody says so.
    @Test(arguments: [false, true])
    func refusesAFolderBeforeItIsDecoded(skipBroken: Bool) throws {
        let folder = try TemporaryFolder()
        for name in ["a.png", "b.png"] { try folder.write(name, [1, 2, 3]) }
        var request = ImageRequest(path: folder.path, imageSize: 4096, skipBroken: skipBroken)
        request.neighbours = 1 << 40
        expectInputError("the 2 images of 4096x4096x3 of one rank take 0.1 GB", "dim-dist pack") {
            let source = try open(request)
            _ = try ImageDataset(source, images: 0..<2)
        }
    }

    @Test func refusesACropThatCouldMiss() throws {
        let shape = ImageShape(height: 28, width: 20, channels: 1)
        try Augmentation(padCrop: 19).check(shape: shape)
        expectInputError("padCrop is 20", "28x20", "must be 0 to 19") {
            try Augmentation(padCrop: 20).check(shape: shape)
        }
        expectInputError("padCrop is -1") { try Augmentation(padCrop: -1).check(shape: shape) }
    }
}
