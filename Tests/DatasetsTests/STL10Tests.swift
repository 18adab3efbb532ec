import Testing

@testable import Datasets

struct STL10Tests {
    private static let plane = 96 * 96

    /// Images whose value at (row y, column x, channel c) of image i is 3y + 7x + 50c + i mod 256, as they are stored:
    /// planes of columns.
    private func stored(_ count: Int) -> [UInt8] {
        (0..<count).flatMap { i in
            (0..<3).flatMap { c in
                (0..<96).flatMap { x in (0..<96).map { y in UInt8(truncatingIfNeeded: 3 * y + 7 * x + 50 * c + i) } }
            }
        }
    }

    private func pixels(_ images: Range<Int>) -> [UInt8] {
        images.flatMap { i in
            (0..<96).flatMap { y in
                (0..<96).flatMap { x in (0..<3).map { c in UInt8(truncatingIfNeeded: 3 * y + 7 * x + 50 * c + i) } }
            }
        }
    }

    @Test func readsAFolder() throws {
        let folder = try TemporaryFolder()
        try folder.write("stl10_binary/train_X.bin", stored(3))
        try folder.write("stl10_binary/train_y.bin", [10, 1, 5])
        try folder.write("stl10_binary/unlabeled_X.bin", stored(2))
        let train = try ImageSource(path: folder.path, split: .train)
        #expect(train.format == .stl10)
        #expect(train.shape == ImageShape(height: 96, width: 96, channels: 3))
        #expect(train.count == 3)
        #expect(train.hasSplits)
        let block = try train.load(images: 1..<3)
        #expect(block.labels == [1, 5])
        #expect(block.pixels == .bytes(.array(pixels(1..<3))))
        let unlabelled = try ImageSource(path: folder.path, split: .unlabelled)
        #expect(unlabelled.count == 2)
        #expect(try unlabelled.load(images: 0..<2).labels == nil)
        expectInputError("test_X.bin: is missing", "train_X.bin") { try ImageSource(path: folder.path, split: .test) }
        let file = folder.path + "/stl10_binary/train_X.bin"
        #expect(try ImageSource(path: file, split: .train).load(images: 0..<1).labels == [10])
    }

    @Test func readsMoreThanAChunk() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("train_X.bin", [UInt8](repeating: 9, count: 257 * 3 * Self.plane - 1) + [8])
        let source = try ImageSource(path: path, split: .train)
        guard case .bytes(.array(let values)) = try source.load(images: 0..<257).pixels else {
            Issue.record("no bytes")
            return
        }
        #expect(values.count == 257 * 3 * Self.plane)
        #expect(values.last == 8)
    }

    @Test func refusesBrokenFiles() throws {
        let folder = try TemporaryFolder()
        try folder.write("train_X.bin", stored(2) + [1])
        expectInputError("train_X.bin: has 55297 bytes", "multiple of 27648") {
            try ImageSource(path: folder.path, split: .train)
        }
        try folder.write("train_X.bin", stored(2))
        try folder.write("train_y.bin", [1])
        expectInputError("train_y.bin: has 1 bytes, expected 2") { try ImageSource(path: folder.path, split: .train) }
        try folder.write("train_y.bin", [1, 2, 3])
        expectInputError("train_y.bin: has more than 2 bytes") { try ImageSource(path: folder.path, split: .train) }
        try folder.write("train_y.bin", [1, 0])
        expectInputError("train_y.bin: has label 0 at image 1, expected 1 to 10") {
            try ImageSource(path: folder.path, split: .train).load(images: 1..<2)
        }
    }

    @Test func othersHaveNoUnlabelledSplit() throws {
        let folder = try TemporaryFolder()
        let file = try folder.write("train-images-idx3-ubyte", imagesFile(count: 2, height: 2, width: 2))
        expectInputError("idx has no unlabelled split", "data.split=train") {
            try ImageSource(path: folder.path, split: .unlabelled)
        }
        expectInputError("is one file, without an unlabelled split") { try ImageSource(path: file, split: .unlabelled) }
    }
}
