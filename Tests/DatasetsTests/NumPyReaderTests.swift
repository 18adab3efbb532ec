import Testing

@testable import Datasets

struct NumPyReaderTests {
    /// A file of format 1.0, in a folder, of an array of this type and shape.
    private func write(
        _ folder: TemporaryFolder, _ name: String, _ element: NumPyElement, _ shape: [Int], _ bytes: [UInt8]
    ) throws -> String {
        let text = NumPyHeader(element: element, shape: shape).text
        let header = [0x93] + Array("NUMPY".utf8) + [1, 0, 118, 0] + Array(text.utf8)
        return try folder.write(
            name, header + [UInt8](repeating: 0x20, count: 127 - header.count) + [0x0a] + bytes)
    }

    private func bytes<Value: BitwiseCopyable>(_ values: [Value]) -> [UInt8] { values.withUnsafeBytes { Array($0) } }

    @Test func readsImagesOfBytes() throws {
        let folder = try TemporaryFolder()
        let pixels = (0..<2 * 3 * 4 * 5).map { UInt8($0) }
        let path = try write(folder, "x.npy", .uint8, [2, 4, 3, 5], pixels)
        _ = try write(folder, "x_labels.npy", .int64, [2], bytes([3, 1]))
        let source = try ImageSource(path: path, split: .train)
        #expect(source.format == .numPy)
        #expect(source.shape == ImageShape(height: 4, width: 3, channels: 5))
        #expect(!source.hasSplits)
        let block = try source.load(images: 1..<2)
        #expect(block.pixels == .bytes(.array(Array(pixels[60...]))))
        #expect(block.labels == [1])
        let grey = try write(folder, "grey", .uint8, [2, 3, 4], Array(pixels.prefix(24)))  // recognised by its content
        #expect(try ImageSource(path: grey, split: .train).shape == ImageShape(height: 3, width: 4, channels: 1))
    }

    @Test func readsVectorsOfAFolder() throws {
        let folder = try TemporaryFolder()
        let values = (0..<12).map { Float($0) / 8 }
        _ = try write(folder, "train.npy", .float32, [4, 3], bytes(values))
        _ = try write(folder, "train_labels.npy", .uint8, [4], [0, 1, 2, 0])
        _ = try write(folder, "test.npy", .float64, [2, 3], bytes(values.prefix(6).map { Double($0) }))
        _ = try write(folder, "unlabeled.npy", .uint8, [1, 3], [0, 51, 255])
        let train = try ImageSource(path: folder.path, split: .train)
        #expect(train.shape == ImageShape(height: 1, width: 1, channels: 3))
        #expect(train.hasSplits)
        #expect(try train.load(images: 1..<3).pixels == .floats(.array(Array(values[3..<9]))))
        let test = try ImageSource(path: folder.path, split: .test)
        #expect(try test.load(images: 0..<2).pixels == .floats(.array(Array(values[..<6]))))
        // A byte v stands for v/255.
        let unlabelled = try ImageSource(path: folder.path, split: .unlabelled)
        #expect(try unlabelled.load(images: 0..<1).pixels == .floats(.array([0, 0.2, 1])))
    }

    @Test(arguments: [NumPyElement.int8, .uint16, .int16, .uint32, .int32, .uint64, .int64])
    func readsLabelsOfAnyWidth(element: NumPyElement) throws {
        let folder = try TemporaryFolder()
        let path = try write(folder, "x.npy", .float32, [2, 1], bytes([1, 2] as [Float]))
        let labels = [5, 100].flatMap { label in (0..<element.size).map { $0 == 0 ? UInt8(label) : 0 } }
        _ = try write(folder, "x_labels.npy", element, [2], labels)
        #expect(try ImageSource(path: path, split: .train).load(images: 0..<2).labels == [5, 100])
    }

    @Test func fillsNormalisedFloats() throws {
        let folder = try TemporaryFolder()
        let path = try write(
            folder, "x.npy", .float32, [2, 2, 2, 2], bytes((0..<16).map { Float($0) }))
        let data = try ImageDataset(ImageSource(path: path, split: .train), images: 0..<2)
        let normalisation = Normalisation(mean: [1, 2], deviation: [2, 4])
        func filled(_ augmentation: Augmentation?) throws -> [Float] {
            var result = [Float](repeating: .nan, count: 8)
            try result.withUnsafeMutableBufferPointer { buffer in
                let target = try #require(buffer.baseAddress)
                if let augmentation {
                    data.fill(
                        target, indices: [1], normalisation: normalisation, augmentation: augmentation, seed: 3,
                        epoch: 0)
                } else {
                    data.fill(target, indices: [1], normalisation: normalisation)
                }
            }
            return result
        }
        let plain: [Float] = [3.5, 1.75, 4.5, 2.25, 5.5, 2.75, 6.5, 3.25]
        #expect(try filled(nil) == plain)
        let augmentation = Augmentation(padCrop: 1, flip: true)
        let view = augmentation.view(seed: 3, epoch: 0, image: 1, in: ViewFrame(data.shape))
        var expected: [Float] = []
        for y in 0..<2 {
            for column in 0..<2 {
                let (row, x) = (y + view.top, (view.isMirrored ? 1 - column : column) + view.left)
                let isInside = (0..<2).contains(row) && (0..<2).contains(x)
                expected += isInside ? Array(plain[(row * 2 + x) * 2..<(row * 2 + x) * 2 + 2]) : [-0.5, -0.5]
            }
        }
        #expect(try filled(augmentation) == expected)
        #expect(expected != plain)
    }

    @Test func refusesWhatIsNotFinite() throws {
        let folder = try TemporaryFolder()
        for (value, text) in [(Double.nan, "nan"), (.infinity, "inf")] {
            let path = try write(folder, "x.npy", .float64, [3, 2], bytes([1, 2, 3, 4, 5, value]))
            expectInputError("x.npy: value \(text) at row 2, column 1 of 2", "is not finite") {
                try ImageSource(path: path, split: .train).load(images: 1..<3)
            }
        }
        let path = try write(folder, "x.npy", .float64, [3, 2], bytes([1, 2, 3, 4, 5, 1e39]))
        expectInputError("x.npy: value 1e+39 at row 2, column 1 of 2", "too far", "float32") {
            try ImageSource(path: path, split: .train).load(images: 1..<3)
        }
    }

    /// Numbers of any type stand for themselves, but for the bytes of images.
    @Test func readsImagesOfAnyNumbers() throws {
        let folder = try TemporaryFolder()
        let halves = (0..<8).map { Float16($0) / 4 }
        let path = try folder.writeArray("x.npy", "<f2", [2, 2, 2], halves)
        #expect(
            try ImageSource(path: path, split: .train).load(images: 0..<2).pixels
                == .floats(.array(halves.map { Float($0) })))
        let words = try folder.writeArray("x.npy", ">u2", [1, 2, 2], (0..<4).map { UInt16($0 * 1000).bigEndian })
        #expect(
            try ImageSource(path: words, split: .train).load(images: 0..<1).pixels
                == .floats(.array([0, 1000, 2000, 3000])))
    }

    @Test func channelsMayComeFirst() throws {
        let folder = try TemporaryFolder()
        // Image, channel, row and column as digits.
        let stored = (0..<2 * 3 * 4 * 5).map { UInt8($0) }
        var ordered: [UInt8] = []
        for image in 0..<2 {
            for pixel in 0..<20 { for channel in 0..<3 { ordered.append(stored[image * 60 + channel * 20 + pixel]) } }
        }
        let path = try folder.writeArray("x.npy", "|u1", [2, 3, 4, 5], stored)
        let first = try open(ImageRequest(path: path, layout: .channelsFirst))
        #expect(first.shape == ImageShape(height: 4, width: 5, channels: 3))
        #expect(try first.load(images: 0..<2).pixels == .bytes(.array(ordered)))
        #expect(try first.load(images: 1..<2).pixels == .bytes(.array(Array(ordered[60...]))))
        let last = try open(ImageRequest(path: path, layout: .channelsLast))
        #expect(last.shape == ImageShape(height: 3, width: 4, channels: 5))
        #expect(try last.load(images: 0..<2).pixels == .bytes(.array(stored)))
        // Of doubles, each plane has a scale of its own.
        let offsets = [0, 1e9, 1e-20]
        let doubles = stored.indices.map { offsets[$0 / 20 % 3] * (1 + Double(stored[$0]) * 1e-9) }
        let file = try folder.writeArray("y.npy", "<f8", [2, 3, 4, 5], doubles)
        let source = try open(ImageRequest(path: file, layout: .channelsFirst))
        let scale = try #require(source.scale)
        guard case .floats(.array(let values)) = try source.load(images: 0..<2).pixels else { return }
        for (index, value) in values.enumerated() {
            let (image, channel, pixel) = (index / 60, index % 3, index % 60 / 3)
            let expected = doubles[image * 60 + channel * 20 + pixel]
            let found = scale.undone(value, column: channel)
            #expect(abs(found - expected) <= 1e-6 * scale.unit[channel] * 120, "\(index): \(found) of \(expected)")
        }
    }

    /// Case by case: the shape and whether it looks as if channels came first.
    @Test func whatLooksLikeChannelsFirstIsRefused() throws {
        let folder = try TemporaryFolder()
        for (shape, looksFirst) in [
            ([2, 3, 24, 32], true), ([2, 1, 28, 20], true), ([2, 4, 32, 32], true), ([2, 63, 64, 64], true),
            ([2, 3, 3, 4], false), ([2, 24, 32, 3], false), ([2, 8, 8, 8], false), ([2, 5, 9, 4], false),
        ] as [([Int], Bool)] {
            let path = try folder.writeArray("x.npy", "|u1", shape, [UInt8](repeating: 1, count: shape.reduce(1, *)))
            guard looksFirst else {
                let found = try ImageSource(path: path, split: .train).shape
                #expect([found.height, found.width, found.channels] == Array(shape[1...]))
                continue
            }
            expectInputError(
                "x.npy: has shape \(shape)", "--set data.layout=channelsFirst", "transpose(0, 2, 3, 1)",
                "--set data.layout=channelsLast"
            ) { try ImageSource(path: path, split: .train) }
        }
        let grey = try folder.writeArray("x.npy", "|u1", [2, 3, 4], [UInt8](repeating: 1, count: 24))
        expectInputError("shape [2, 3, 4], expected four axes for data.layout=channelsFirst") {
            try open(ImageRequest(path: grey, layout: .channelsFirst))
        }
    }

    @Test func refusesOtherArrays() throws {
        let folder = try TemporaryFolder()
        func refused(_ element: NumPyElement, _ shape: [Int], _ texts: String, at: SourceLocation = #_sourceLocation) {
            expectInputError("x.npy: ", texts, sourceLocation: at) {
                let size = shape.reduce(element.size, *)
                let path = try write(folder, "x.npy", element, shape, [UInt8](repeating: 0, count: size))
                return try ImageSource(path: path, split: .train)
            }
        }
        refused(.float32, [4], "shape [4], expected [N, D], [N, height, width]")
        refused(.float32, [1, 2, 3, 4, 5], "shape [1, 2, 3, 4, 5], expected")
        refused(.uint8, [1, 2, 2, 65], "with 1 to 64 channels")
        refused(.uint8, [1, 4097, 1], "sides of at most 4096")
        refused(.uint8, [1, 65537], "at most 65536 columns")
    }

    /// Whole numbers with gaps, in a column, as floats, as truth values, and -1 for none.
    @Test func readsLabelsOfAnyForm() throws {
        let folder = try TemporaryFolder()
        let path = try write(folder, "x.npy", .float32, [2, 1], bytes([1, 2] as [Float]))
        func labels() throws -> [Int32]? { try ImageSource(path: path, split: .train).load(images: 0..<2).labels }
        try folder.writeArray("x_labels.npy", "<i8", [2], [-1, 2_147_483_647])
        #expect(try labels() == [noLabel, .max])
        try folder.writeArray("x_labels.npy", "<i4", [2, 1], [60000, 3] as [Int32])
        #expect(try labels() == [60000, 3])
        try folder.writeArray("x_labels.npy", "<f8", [2], [7, -1] as [Double])
        #expect(try labels() == [7, noLabel])
        try folder.writeArray("x_labels.npy", "|b1", [2], [1, 0] as [UInt8])
        #expect(try labels() == [1, 0])
    }

    @Test func refusesLabelsThatDoNotFit() throws {
        let folder = try TemporaryFolder()
        let path = try write(folder, "x.npy", .float32, [2, 1], bytes([1, 2] as [Float]))
        func refused<Value: BitwiseCopyable>(_ type: String, _ shape: [Int], _ data: [Value], _ text: String) throws {
            try folder.writeArray("x_labels.npy", type, shape, data)
            expectInputError("x_labels.npy: ", text) {
                try ImageSource(path: path, split: .train).load(images: 0..<2)
            }
            // Who wants no labels doesn't meet their faults.
            var request = ImageRequest(path: path)
            request.isLabelled = false
            #expect(try open(request).load(images: 0..<2).labels == nil)
        }
        try refused("<i8", [3], [0, 1, 2], "shape [3], expected [2], a label for each row of \(path)")
        try refused(
            "<i8", [2, 2], [0, 1, 1, 0],
            "shape [2, 2], expected [2], a label for each row of \(path): save "
                + "one-hot")
        try refused(
            "<i8", [2], [0, -2], "label -2 at row 1, expected whole numbers from 0 to 2147483647, or -1 for none")
        try refused("<i8", [2], [1 << 31, 0], "label 2147483648 at row 0")
        try refused("<f4", [2], [0, 1.5] as [Float], "label 1.5 at row 1")
        try refused("<f8", [2], [Double.nan, 0], "label nan at row 0")
        try refused("<U1", [2], [97, 98] as [UInt32], "numpy.unique(array, return_inverse=True)[1]")
    }

    @Test func vectorsHaveNoSides() throws {
        let folder = try TemporaryFolder()
        let path = try write(folder, "x.npy", .float32, [2, 3], bytes([1, 2, 3, 4, 5, 6] as [Float]))
        expectInputError("x.npy: holds vectors", "data.imageSize=32") {
            try open(ImageRequest(path: path, imageSize: 32))
        }
        let shape = try ImageSource(path: path, split: .train).shape
        try Augmentation().check(shape: shape)
        for augmentation in [Augmentation(padCrop: 1), Augmentation(flip: true)] {
            expectInputError("vectors of 3") { try augmentation.check(shape: shape) }
        }
        let images = try write(folder, "y.npy", .float32, [1, 2, 2], bytes([0, 4, 8, -4] as [Float]))
        #expect(try open(ImageRequest(path: images, imageSize: 1)).load(images: 0..<1).pixels == .floats(.array([2])))
    }
}
