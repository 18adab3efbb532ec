import Collectives
import Testing

@testable import Datasets

/// Arrays that stay in their files, against the same values in memory.
struct MappingTests {
    private func values(_ pixels: Pixels) -> [Float] {
        switch pixels {
        case .bytes(let values): values.withUnsafeBufferPointer { $0.map { Float($0) } }
        case .floats(let values): values.withUnsafeBufferPointer { Array($0) }
        }
    }

    @Test func bytesAndFloatsInMemoryOrderAreMapped() throws {
        let folder = try TemporaryFolder()
        let bytes = (0..<5000 * 12).map { UInt8(truncatingIfNeeded: $0 * $0 / 7) }
        let floats = (0..<5000 * 3).map { Float($0) / 3 }
        let doubles = floats.map { Double($0) }
        let swapped: [UInt32] = floats.map { $0.bitPattern.bigEndian }
        let idx = imagesFile(count: 5000, height: 1, width: 3)
        let pixels = idx.dropFirst(16).map { Float($0) }
        let cases: [(path: String, isMapped: Bool, expected: [Float])] = [
            (try folder.writeArray("a.npy", "|u1", [5000, 2, 2, 3], bytes), true, bytes.map { Float($0) }),
            (try folder.writeArray("b.npy", "<f4", [5000, 3], floats), true, floats),
            (try folder.write("c", idx), true, pixels),
            // Values that are converted, swapped or compressed.
            (try folder.writeArray("d.npy", "<f8", [5000, 3], doubles), false, floats),
            (try folder.writeArray("e.npy", ">f4", [5000, 3], swapped), false, floats),
            (try folder.writeCompressed("f.gz", idx), false, pixels),
        ]
        for (path, isMapped, expected) in cases {
            let source = try ImageSource(path: path, split: .train)
            #expect(source.isMapped == isMapped, "\(path)")
            // Rows that begin and end inside a page, in its first and last bytes, and none.
            let size = expected.count / 5000
            for images in [0..<5000, 1..<2, 1365..<2731, 4999..<5000, 7..<7] {
                let pixels = try source.load(images: images).pixels
                #expect(pixels.isMapped == isMapped)
                #expect(pixels.count == images.count * size)
                let wanted = Array(expected[images.lowerBound * size..<images.upperBound * size])
                #expect(values(pixels) == wanted, "\(path) \(images)")
            }
        }
    }

    /// Headers of other programs may end anywhere.
    @Test func floatsOffTheirAlignmentAreRead() throws {
        let folder = try TemporaryFolder()
        var opening = NumPyHeader.opening(descriptor: "<f4", shape: [2, 2])
        opening.removeLast()
        opening[8] -= 1
        let file = opening + ([1, 2, 3, 4] as [Float]).withUnsafeBytes { Array($0) }
        let source = try ImageSource(path: folder.write("x.npy", file), split: .train)
        #expect(!source.isMapped)
        #expect(try source.load(images: 0..<2).pixels == .floats(.array([1, 2, 3, 4])))
    }

    @Test func anArrayOfTheRightSizeIsNotResized() throws {
        let folder = try TemporaryFolder()
        let bytes = (0..<4 * 27).map { UInt8($0) }
        let path = try folder.writeArray("x.npy", "|u1", [4, 3, 3, 3], bytes)
        let same = try open(ImageRequest(path: path, imageSize: 3))
        #expect(same.isMapped)
        #expect(try same.load(images: 0..<4).pixels == .bytes(.array(bytes)))
        #expect(try !open(ImageRequest(path: path, imageSize: 2)).isMapped)
    }

    @Test func mappedFloatsMustBeFinite() throws {
        let folder = try TemporaryFolder()
        let path = try folder.writeArray("x.npy", "<f4", [3, 2], [1, 2, 3, 4, 5, .infinity] as [Float])
        let source = try ImageSource(path: path, split: .train)
        expectInputError("x.npy: value inf at row 2, column 1 of 2") { try source.load(images: 1..<3) }
        #expect(values(try source.load(images: 0..<2).pixels) == [1, 2, 3, 4])
    }

    @Test func aFileThatBecameShorterIsNotMapped() throws {
        let folder = try TemporaryFolder()
        let path = try folder.writeArray("x.npy", "|u1", [4, 2, 2], [UInt8](repeating: 9, count: 16))
        let source = try ImageSource(path: path, split: .train)
        try folder.write("x.npy", folder.read("x.npy").dropLast())
        expectInputError("x.npy: has 143 bytes, expected at least 144") { try source.load(images: 0..<4) }
        #expect(try source.load(images: 0..<3).pixels == .bytes(.array([UInt8](repeating: 9, count: 12))))
    }

    /// Bit for bit, over several ranks.
    @Test func statisticsOfMappedSamplesAreThoseOfSamplesInMemory() throws {
        let folder = try TemporaryFolder()
        let floats: [Float] = (0..<200 * 3).map { Float($0 * $0 % 1009) / 7 - 40 }
        let swapped: [UInt32] = floats.map { $0.bitPattern.bigEndian }
        let idx = imagesFile(count: 200, height: 2, width: 3)
        let pairs: [(String, String)] = [
            (
                try folder.writeArray("b.npy", "<f4", [200, 3], floats),
                try folder.writeArray("e.npy", ">f4", [200, 3], swapped)
            ), (try folder.write("c", idx), try folder.writeCompressed("f.gz", idx)),
        ]
        for (mapped, read) in pairs {
            let found = try ThreadRank.run(3) { ranks in
                try [mapped, read].map { (path: String) -> (Bool, [Double], [Double]) in
                    let source = try ImageSource(path: path, split: .train)
                    let shards = try VirtualShards(imageCount: source.count)
                    let own = shards.ownedImages(rank: ranks.rank, worldSize: ranks.worldSize)
                    let dataset = try ImageDataset(source, images: own)
                    let statistics = try ChannelStatistics(of: dataset, in: shards, over: ranks).normalisation
                    return (dataset.isMapped, statistics.mean, statistics.deviation)
                }
            }
            for pair in found {
                #expect(pair[0].0 && !pair[1].0)
                #expect(pair[0].1 == pair[1].1)
                #expect(pair[0].2 == pair[1].2)
            }
        }
    }

    @Test func mappedSetsMayBeLargerThanMemory() throws {
        let folder = try TemporaryFolder()
        // A sparse file of 2^38 bytes.
        let array = try NumPyArray.create(
            path: folder.path + "/x.npy", shape: [1 << 18, 1 << 10, 1 << 10], element: .uint8)
        let source = try ImageSource(path: array.path, split: .train)
        let dataset = try ImageDataset(source, images: 0..<1 << 18)
        #expect(dataset.isMapped)
        dataset.expectRandomOrder()
        dataset.prefetch([0, 1 << 17])
        var image = [Float](repeating: .nan, count: 1 << 20)
        try image.withUnsafeMutableBufferPointer {
            dataset.fill(
                try #require($0.baseAddress), indices: [1 << 17],
                normalisation: Normalisation(mean: [0.5], deviation: [0.5]))
        }
        #expect(image.allSatisfy { $0 == -1 })
    }
}
