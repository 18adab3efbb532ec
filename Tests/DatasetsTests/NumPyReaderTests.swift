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
        let path = try write(folder, "x.npy", .uint8, [2, 3, 4, 5], pixels)
        _ = try write(folder, "x_labels.npy", .int64, [2], bytes([3, 1]))
        let source = try ImageSource(path: path, split: .train)
        #expect(source.format == .numPy)
        #expect(source.shape == ImageShape(height: 3, width: 4, channels: 5))
        #expect(source.classes == 4)
        #expect(!source.hasSplits)
        let block = try source.load(images: 1..<2)
        #expect(block.pixels == .bytes(Array(pixels[60...])))
        #expect(block.labels == [1])
        let grey = try write(folder, "grey", .uint8, [2, 3, 4], Array(pixels.prefix(24)))  // told by its content
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
        #expect(train.classes == 3)
        #expect(train.hasSplits)
        #expect(try train.load(images: 1..<3).pixels == .floats(Array(values[3..<9])))
        let test = try ImageSource(path: folder.path, split: .test)
        #expect(test.classes == nil)
        #expect(try test.load(images: 0..<2).pixels == .floats(Array(values[..<6])))
        // A byte v stands for v/255.
        let unlabelled = try ImageSource(path: folder.path, split: .unlabelled)
        #expect(try unlabelled.load(images: 0..<1).pixels == .floats([0, 0.2, 1]))
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
        let view = augmentation.view(seed: 3, epoch: 0, image: 1)
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
        for (value, text) in [(Double.nan, "nan"), (.infinity, "inf"), (1e39, "inf")] {
            let path = try write(folder, "x.npy", .float64, [3, 2], bytes([1, 2, 3, 4, 5, value]))
            expectInputError("x.npy: value \(text) at row 2, column 1 of 2", "float32") {
                try ImageSource(path: path, split: .train).load(images: 1..<3)
            }
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
        refused(.uint8, [2, 3, 8, 8], "channels last; save with numpy.ascontiguousarray(array.transpose(0, 2, 3, 1))")
        refused(.uint8, [1, 2, 2, 65], "of 1 to 64")
        refused(.uint8, [1, 4097, 1], "sides of at most 4096")
        refused(.uint8, [1, 65537], "at most 65536 columns")
        refused(.int64, [2, 2], "elements are '<i8', expected '|u1', '<f4' or '<f8'")
    }

    @Test func refusesLabelsThatDoNotFit() throws {
        let folder = try TemporaryFolder()
        let path = try write(folder, "x.npy", .float32, [2, 1], bytes([1, 2] as [Float]))
        func refused(_ element: NumPyElement, _ shape: [Int], _ data: [UInt8], _ text: String) {
            expectInputError("x_labels.npy: ", text) {
                _ = try write(folder, "x_labels.npy", element, shape, data)
                return try ImageSource(path: path, split: .train)
            }
        }
        refused(.int64, [3], bytes([0, 1, 2]), "shape [3], expected [2], one for each of \(path)")
        refused(.int64, [2, 1], bytes([0, 1]), "shape [2, 1], expected [2]")
        refused(.int64, [2], bytes([0, -1]), "label -1 at row 1, expected 0 to 65535")
        refused(.float32, [2], bytes([0, 1] as [Float]), "elements are '<f4', expected '<i8'")
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
        #expect(try open(ImageRequest(path: images, imageSize: 1)).load(images: 0..<1).pixels == .floats([2]))
    }
}
