import Testing

@testable import Datasets

struct IDXTests {
    private let images = imagesFile(count: 5, height: 2, width: 3)
    private let labels = labelsFile([1, 0, 4, 2, 2])

    private func check(_ source: ImageSource) throws {
        #expect(source.format == .idx)
        #expect(source.count == 5)
        #expect(source.shape == ImageShape(height: 2, width: 3, channels: 1))
        let block = try source.load(images: 1..<3)
        #expect(block.pixels == .bytes(.array((6..<18).map { UInt8($0 * 7) })))
        #expect(block.labels == [0, 4])
        #expect(try source.load(images: 0..<5).pixels == .bytes(.array(Array(images[16...]))))
    }

    @Test func readsAFolder() throws {
        let folder = try TemporaryFolder()
        try folder.write("train-images-idx3-ubyte", images)
        try folder.write("train-labels-idx1-ubyte", labels)
        try check(ImageSource(path: folder.path, split: .train))
        expectInputError("t10k-images-idx3-ubyte: is missing", "found train-images-idx3-ubyte, train-labels") {
            try ImageSource(path: folder.path, split: .test)
        }
    }

    @Test func readsCompressedFiles() throws {
        let folder = try TemporaryFolder()
        try folder.writeCompressed("t10k-images-idx3-ubyte.gz", images)
        try folder.writeCompressed("t10k-labels-idx1-ubyte.gz", labels)
        try check(ImageSource(path: folder.path + "/", split: .test))
        try check(ImageSource(path: folder.path + "/t10k-images-idx3-ubyte.gz", split: .train))
    }

    /// More than one block of decompressed bytes, so that skipping is tested.
    @Test func readsTheEndOfALargeCompressedFile() throws {
        let folder = try TemporaryFolder()
        let large = imagesFile(count: 2000, height: 20, width: 20)
        let path = try folder.writeCompressed("images.gz", large)
        let source = try ImageSource(path: path, split: .train)
        #expect(try source.load(images: 1998..<2000).pixels == .bytes(.array(Array(large.suffix(800)))))
        #expect(try source.load(images: 0..<1).labels == nil)
    }

    @Test func imagesNeedNoLabels() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("train-images-idx3-ubyte", images)
        for location in [folder.path, path] {
            let source = try ImageSource(path: location, split: .train)
            #expect(try source.load(images: 0..<1).labels == nil)
            #expect(source.hasSplits == (location == folder.path))
        }
    }

    @Test func refusesBrokenImages() throws {
        let folder = try TemporaryFolder()
        func refused(_ bytes: [UInt8], _ found: String, _ expected: String, at: SourceLocation = #_sourceLocation) {
            for isCompressed in [false, true] {
                expectInputError("/x: ", found, expected, sourceLocation: at) {
                    let path = try isCompressed ? folder.writeCompressed("x", bytes) : folder.write("x", bytes)
                    return try ImageSource(path: path, split: .train)
                }
            }
        }
        refused([], "0 bytes", "expected at least the 16")
        refused(Array(images.prefix(15)), "15 bytes", "expected at least the 16")
        refused(labels + [0, 0, 0], "magic 2049", "expected 2051")
        refused(Array(images.dropLast()), "45 bytes", "expected 46 for 5 images of 2x3")
        refused(images + [0], "more than 46 bytes", "expected 46 for 5 images of 2x3")
        refused(imagesFile(count: 0, height: 2, width: 3), "0 images", "expected 1 to 2147483647")
        refused(imagesFile(count: 1, height: 0, width: 3), "0x3", "sides of 1 to 4096")
        refused([2051, 1, 5000, 3].flatMap(bigEndian), "5000x3", "sides of 1 to 4096")
        refused([2051, 4_294_967_295, 28, 28].flatMap(bigEndian), "4294967295 images", "1 to 2147483647")
        let lie = [2051, 2_147_483_647, 4096, 4096].flatMap(bigEndian)
        refused(lie, "16 bytes", "expected \(16 + 2_147_483_647 << 24)")
        refused(lie + [UInt8](repeating: 0, count: 1_000_000), "1000016 bytes", "2147483647 images")
    }

    @Test func refusesBrokenCompression() throws {
        let folder = try TemporaryFolder()
        let large = imagesFile(count: 100, height: 20, width: 20)
        try folder.writeCompressed("x.gz", large)
        let bytes = try folder.read("x.gz")
        let cut = try folder.write("cut.gz", Array(bytes.prefix(bytes.count - 12)))
        expectInputError("cut.gz", "ends early") { try ImageSource(path: cut, split: .train) }
        var damaged = bytes
        damaged[bytes.count - 8] ^= 1
        let path = try folder.write("damaged.gz", damaged)
        expectInputError("damaged.gz", "incorrect data check") { try ImageSource(path: path, split: .train) }
    }

    @Test func refusesBrokenLabels() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("train-images-idx3-ubyte", images)
        func refused(_ bytes: [UInt8], _ texts: String, at: SourceLocation = #_sourceLocation) {
            expectInputError("train-labels-idx1-ubyte: ", texts, sourceLocation: at) {
                try folder.write("train-labels-idx1-ubyte", bytes)
                return try ImageSource(path: path, split: .train)
            }
        }
        refused(labelsFile([1, 2]), "has 2 labels, expected 5, one for each image of \(path)")
        refused(images, "magic 2051, expected 2049")
        refused(labels + [1], "more than 13 bytes, expected 13 for 5 labels")
        refused(Array(labels.dropLast()), "12 bytes, expected 13 for 5 labels")
        refused([0], "1 bytes, expected at least the 8")
    }
}
