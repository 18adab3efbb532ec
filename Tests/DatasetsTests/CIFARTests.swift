import Testing

@testable import Datasets

struct CIFARTests {
    /// Records whose pixel at (channel c, position p) of record i is c * 50 + p + i mod 256.
    private func records(_ labels: [[UInt8]]) -> [UInt8] {
        labels.enumerated().flatMap { i, label in
            label + (0..<3).flatMap { c in (0..<1024).map { UInt8(truncatingIfNeeded: c * 50 + $0 + i) } }
        }
    }

    /// The same records as `[image, position, channel]`.
    private func pixels(_ numbers: [Int]) -> [UInt8] {
        numbers.flatMap { i in
            (0..<1024).flatMap { p in (0..<3).map { UInt8(truncatingIfNeeded: $0 * 50 + p + i) } }
        }
    }

    @Test func readsAcrossTheFilesOfCIFAR10() throws {
        let folder = try TemporaryFolder()
        for batch in 1...5 {
            let labels = (0..<batch).map { [UInt8($0 + batch)] }
            try folder.write("cifar-10-batches-bin/data_batch_\(batch).bin", records(labels))
        }
        try folder.write("cifar-10-batches-bin/test_batch.bin", records([[7]]))
        let source = try ImageSource(path: folder.path, split: .train)
        #expect(source.format == .cifar10)
        #expect(source.count == 15)
        #expect(source.shape == ImageShape(height: 32, width: 32, channels: 3))
        // Files of 1, 2, 3, ... records: 2..<7 is the last of file 2, all of file 3, the first of file 4.
        let block = try source.load(images: 2..<7)
        #expect(block.labels == [3, 3, 4, 5, 4])
        #expect(block.pixels == .bytes(.array(pixels([1, 0, 1, 2, 0]))))
        #expect(try ImageSource(path: folder.path, split: .test).load(images: 0..<1).labels == [7])
    }

    /// More records than are read at once.
    @Test func readsManyRecords() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("test_batch.bin", records((0..<1100).map { [UInt8($0 % 10)] }))
        let block = try ImageSource(path: path, split: .train).load(images: 3..<1099)
        #expect(block.labels == (3..<1099).map { Int32($0 % 10) })
        #expect(block.pixels == .bytes(.array(pixels(Array(3..<1099)))))
    }

    @Test func readsFineLabelsOfCIFAR100() throws {
        let folder = try TemporaryFolder()
        try folder.write("cifar-100-binary/train.bin", records([[19, 99], [3, 42]]))
        try folder.write("cifar-100-binary/test.bin", records([[1, 100]]))
        let source = try ImageSource(path: folder.path, split: .train)
        #expect(source.format == .cifar100)
        let block = try source.load(images: 0..<2)
        #expect(block.labels == [99, 42])
        #expect(block.pixels == .bytes(.array(pixels([0, 1]))))
        expectInputError("cifar-100-binary/test.bin", "label 100 at record 0", "expected 0 to 99") {
            try ImageSource(path: folder.path, split: .test).load(images: 0..<1)
        }
    }

    @Test func tellsAFileByItsSize() throws {
        let folder = try TemporaryFolder()
        let ten = try folder.write("a.bin", records([[1], [2]]))
        let hundred = try folder.write("b.bin", records([[1, 2]]))
        #expect(try ImageSource(path: ten, split: .test).format == .cifar10)
        #expect(try ImageSource(path: hundred, split: .test).format == .cifar100)
        let other = try folder.write("c.bin", [1, 2, 3])
        expectInputError("c.bin: has 3 bytes", "3073 (CIFAR-10)", "3074 (CIFAR-100)") {
            try ImageSource(path: other, split: .test)
        }
    }

    @Test func refusesBrokenFiles() throws {
        let folder = try TemporaryFolder()
        func refused(_ bytes: [UInt8], _ found: String, _ expected: String, at: SourceLocation = #_sourceLocation) {
            expectInputError("test_batch.bin: ", found, expected, sourceLocation: at) {
                try folder.write("test_batch.bin", bytes)
                let source = try ImageSource(path: folder.path, split: .test)
                return try source.load(images: 0..<source.count)
            }
        }
        refused([], "0 bytes", "expected at least one record of 3073")
        refused(Array(records([[1], [2]]).dropLast()), "6145 bytes", "expected a multiple of 3073")
        refused(records([[1]]) + [5], "1 are left over", "expected a multiple of 3073")
        refused(records([[1], [10]]), "label 10 at record 1", "expected 0 to 9")
        expectInputError("data_batch_1.bin: is missing", "found test_batch.bin") {
            try ImageSource(path: folder.path, split: .train)
        }
    }

    @Test func refusesOtherFolders() throws {
        let folder = try TemporaryFolder()
        expectInputError(
            folder.path, "searched for IDX (train-images-idx3-ubyte[.gz]), CIFAR-10 (data_batch_1.bin",
            "CIFAR-100 (train.bin", "found nothing"
        ) { try ImageSource(path: folder.path, split: .train) }
        for i in 1...8 { try folder.write("\(i).txt", [0]) }
        expectInputError("found 1.txt, 2.txt, 3.txt, 4.txt, 5.txt, 6.txt and 2 more") {
            try ImageSource(path: folder.path, split: .train)
        }
        try folder.write("test_batch.bin", records([[1]]))
        try folder.write("cifar-100-binary/test.bin", records([[1, 1]]))
        expectInputError("several data sets (cifar10 in \(folder.path), cifar100 in \(folder.path)/cifar-100-binary)") {
            try ImageSource(path: folder.path, split: .test)
        }
        expectInputError("/none: no such file or folder", "--data") {
            try ImageSource(path: folder.path + "/none", split: .train)
        }
    }
}
