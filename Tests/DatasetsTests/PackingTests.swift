import Collectives
import Foundation
import Testing

@testable import Datasets

/// Packed folders, against the sources that they were made from.
struct PackingTests {
    /// PNG and JPEG files in two splits, of two classes, of 24x18 pixels.
    private func imageFolder(_ folder: TemporaryFolder) throws -> ImageRequest {
        let files = try ["rgb.png", "grey.jpg", "alpha.png"].map { try ImageFixtures.file($0) }
        for (split, count) in [("train", 11), ("val", 5)] {
            for i in 0..<count { try folder.write("data/\(split)/\(i % 3 == 0 ? "a" : "b c")/\(i).png", files[i % 3]) }
        }
        return ImageRequest(path: folder.path + "/data", imageSize: 16)
    }

    /// Five images of 16x16x3.
    private static let blockBytes = 5 * 768

    /// Packs as the command does.
    @discardableResult
    private func pack(
        _ request: ImageRequest, split: Split? = nil, into folder: String, ranks: any Ranks = SingleRank(),
        stoppedAfter most: Int = .max
    ) throws -> Packing.Outcome {
        try ranks.agree {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        }
        let packing = try Packing(request, split: split, folder: folder, blockBytes: Self.blockBytes, ranks: ranks)
        var blocks = 0
        return try packing.run(isStopped: { blocks >= most }, progress: { _ in blocks += 1 })
    }

    private func files(_ folder: String) throws -> [String: Data] {
        let names = try FileManager.default.contentsOfDirectory(atPath: folder)
        return try Dictionary(
            uniqueKeysWithValues: names.map { ($0, try Data(contentsOf: URL(fileURLWithPath: "\(folder)/\($0)"))) })
    }

    /// Both give the same samples, labels, classes and names.
    private func expectSame(_ request: ImageRequest, _ packed: String, _ split: Split) throws {
        var request = request
        request.split = split
        let (old, new) = (try open(request), try open(ImageRequest(path: packed, split: split)))
        #expect(new.isMapped)
        #expect(old.shape == new.shape && old.count == new.count)
        #expect(old.classNames == new.classNames)
        let all = 0..<old.count
        #expect(try old.names(of: all) == new.names(of: all))
        #expect(try old.names(of: 1..<3) == new.names(of: 1..<3))
        let (a, b) = (try old.load(images: all), try new.load(images: all))
        #expect(a.pixels == b.pixels)
        #expect(a.labels == b.labels)
    }

    @Test func aFolderOfImageFilesIsPackedWhole() throws {
        let folder = try TemporaryFolder()
        let request = try imageFolder(folder)
        let packed = folder.path + "/packed"
        #expect(try pack(request, into: packed) == .finished)
        #expect(
            try files(packed).keys.sorted() == [
                "classes.txt", "pack.json", "test.npy", "test_ids.txt", "test_labels.npy", "train.npy",
                "train_ids.txt", "train_labels.npy",
            ])
        for split in [Split.train, .test] { try expectSame(request, packed, split) }
        #expect(try String(contentsOfFile: packed + "/classes.txt", encoding: .utf8) == "a\nb c\n")
        #expect(try open(ImageRequest(path: packed)).shape == ImageShape(height: 16, width: 16, channels: 3))
        // Again: nothing is done.
        let before = try files(packed)
        let again = try Packing(request, split: nil, folder: packed, ranks: SingleRank())
        #expect(again.wasComplete)
        #expect(try again.run(isStopped: { false }, progress: { _ in }) == .finished)
        #expect(try files(packed) == before)
    }

    @Test(arguments: [1, 2, 3])
    func rankCountsGiveTheSameBytes(worldSize: Int) throws {
        let folder = try TemporaryFolder()
        let request = try imageFolder(folder)
        let (one, several) = (folder.path + "/one", folder.path + "/several")
        try pack(request, into: one)
        let results = try ThreadRank.run(worldSize) { ranks in try pack(request, into: several, ranks: ranks) }
        #expect(results.allSatisfy { $0 == .finished })
        #expect(try files(one) == files(several))
    }

    /// Blocks of five images: a stop after the first or second leaves the same state as a kill there.
    @Test(arguments: [(1, 1), (2, 1), (1, 3), (2, 2)])
    func whatWasInterruptedGoesOn(blocks: Int, ranksThen: Int) throws {
        let folder = try TemporaryFolder()
        let request = try imageFolder(folder)
        let (whole, parts) = (folder.path + "/whole", folder.path + "/parts")
        try pack(request, into: whole)
        #expect(try pack(request, into: parts, stoppedAfter: blocks) == .interrupted(done: 5 * blocks))
        let halfway = try files(parts)
        #expect(halfway["train.npy"] == nil)
        #expect(halfway["train_blocks.packing"].map(Array.init) == [1, blocks > 1 ? 1 : 0, 0])
        // What is marked isn't decoded again: those files may be gone by now.
        let first = try open(request).names(of: 0..<5)
        for name in first ?? [] { try folder.write("data/\(name)", [1, 2, 3]) }
        _ = try ThreadRank.run(ranksThen) { ranks in try pack(request, into: parts, ranks: ranks) }
        #expect(try files(parts) == files(whole))
    }

    /// States in which a kill may leave the files before and after the blocks.
    @Test func aKillBetweenTheOtherStepsIsHarmless() throws {
        let folder = try TemporaryFolder()
        let request = try imageFolder(folder)
        let (whole, parts) = (folder.path + "/whole", folder.path + "/parts")
        try pack(request, into: whole)
        let expected = try files(whole)
        let manager = FileManager.default
        func restart(_ change: () throws -> Void) throws {
            try? manager.removeItem(atPath: parts)
            try pack(request, into: parts, stoppedAfter: 2)
            try change()
            try pack(request, into: parts)
            #expect(try files(parts) == expected)
        }
        // Arrays without their marks, marks without their arrays, an array of which only the beginning was written.
        try restart { try manager.removeItem(atPath: parts + "/train_blocks.packing") }
        try restart { try manager.removeItem(atPath: parts + "/train.npy.packing") }
        try restart { try manager.removeItem(atPath: parts + "/train_labels.npy.packing") }
        try restart { try folder.write("parts/train.npy.packing", folder.read("whole/train.npy").dropLast()) }
        // All blocks done, and some files already with their names.
        try restart {
            try folder.write("parts/train.npy.packing", folder.read("whole/train.npy"))
            try folder.write("parts/train_blocks.packing", [1, 1, 1])
            try manager.removeItem(atPath: parts + "/train_labels.npy.packing")
            try folder.write("parts/train_labels.npy", folder.read("whole/train_labels.npy"))
        }
        // Only the record's first version.
        try manager.removeItem(atPath: parts)
        try folder.write("parts/pack.json.packing", [1])
        try pack(request, into: parts)
        #expect(try files(parts)["train.npy"] == expected["train.npy"])
    }

    @Test func otherSettingsAndOtherFilesAreRefused() throws {
        let folder = try TemporaryFolder()
        var request = try imageFolder(folder)
        let packed = folder.path + "/packed"
        try pack(request, into: packed, stoppedAfter: 1)
        func refused(_ text: String, _ change: (inout ImageRequest) -> Void, split: Split? = nil) {
            var other = request
            change(&other)
            expectAgreedError(text) { try pack(other, split: split, into: packed) }
        }
        refused("packed: holds another packing (data.imageSize is 64, and was 16)") { $0.imageSize = 64 }
        refused("(data.channels is 1, and was 0)") { $0.channels = 1 }
        refused("(data.skipBroken is true, and was false)") { $0.skipBroken = true }
        refused("(--split is test, and was all splits)", { _ in }, split: .test)
        try folder.write("data/train/a/new.png", ImageFixtures.file("rgb.png"))
        refused("packed: was begun when ") { _ in }
        try folder.write("full/x", [1])
        expectAgreedError("full: holds other files (x): give a new folder") {
            try pack(request, into: folder.path + "/full")
        }
        try folder.write("full/pack.json", [1])
        expectAgreedError("pack.json: is not what pack writes") { try pack(request, into: folder.path + "/full") }
        request.path = folder.path + "/none"
        expectAgreedError("none: no such file or folder") { try pack(request, into: folder.path + "/new") }
    }

    @Test func brokenImagesAreNamedOrLeftOut() throws {
        let folder = try TemporaryFolder()
        var request = try imageFolder(folder)
        try folder.write("data/train/a/3.png", [1, 2, 3])
        let packed = folder.path + "/packed"
        for worldSize in [1, 3] {
            expectAgreedError("data/train/a/3.png: ", "--skip-broken") {
                let whole = request
                _ = try ThreadRank.run(worldSize) { ranks in try pack(whole, into: packed, ranks: ranks) }
            }
        }
        request.skipBroken = true
        let kept = folder.path + "/kept"
        try pack(request, into: kept)
        try expectSame(request, kept, .train)
        #expect(try open(ImageRequest(path: kept)).count == 10)
        // Once mended, the first folder goes on.
        request.skipBroken = false
        try folder.write("data/train/a/3.png", ImageFixtures.file("rgb.png"))
        #expect(try pack(request, into: packed) == .finished)
    }

    @Test func otherFormatsArePacked() throws {
        let folder = try TemporaryFolder()
        try folder.write("idx/train-images-idx3-ubyte", imagesFile(count: 7, height: 4, width: 5))
        try folder.write("idx/train-labels-idx1-ubyte", labelsFile([3, 1, 0, 2, 9, 3, 3]))
        try folder.writeCompressed("idx/t10k-images-idx3-ubyte.gz", imagesFile(count: 3, height: 4, width: 5))
        let planes = (0..<5 * 60).map { UInt8(truncatingIfNeeded: $0 * $0) }
        try folder.writeArray("planar/train.npy", "|u1", [5, 3, 4, 5], planes)
        try folder.writeArray("half/unlabelled.npy", "<f2", [4, 3], (0..<12).map { Float16($0) / 8 })
        try folder.writeArray("double/train.npy", "<f8", [4, 3], (0..<12).map { Double($0) / 3 })
        try folder.writeArray("double/train_labels.npy", "<i8", [4], [-1, 0, 7, 1])
        let planar = ImageRequest(path: folder.path + "/planar", layout: .channelsFirst)
        let requests: [(ImageRequest, [Split], [Int])] = [
            (ImageRequest(path: folder.path + "/idx"), [.train, .test], [7, 4, 5, 1]),
            (ImageRequest(path: folder.path + "/idx", imageSize: 3), [.train, .test], [7, 3, 3, 1]),
            (planar, [.train], [5, 4, 5, 3]),
            (ImageRequest(path: folder.path + "/half"), [.unlabelled], [4, 3]),
            (ImageRequest(path: folder.path + "/double"), [.train], [4, 3]),
        ]
        for (index, (request, splits, shape)) in requests.enumerated() {
            let packed = folder.path + "/packed\(index)"
            try pack(request, into: packed)
            for split in splits { try expectSame(request, packed, split) }
            let array = try NumPyArray(
                path: packed + "/\(splits[0].rawValue).npy", accepting: [.uint8, .float32])
            #expect(array.shape == shape)
        }
    }

    @Test func whatArraysCannotHoldIsRefused() throws {
        let folder = try TemporaryFolder()
        try folder.writeArray("far.npy", "<f8", [4, 1], (0..<4).map { 1.7e9 + Double($0) })
        try folder.write("dot", imagesFile(count: 3, height: 1, width: 1))
        for (name, text) in [("far.npy", "numbers that need double precision"), ("dot", "images of 1x1 pixel")] {
            expectAgreedError("\(name): has \(text)") {
                try pack(ImageRequest(path: folder.path + "/" + name), into: folder.path + "/packed")
            }
        }
        let image = try ImageFixtures.file("rgb.png")
        try folder.write("lines/a\nb.png", image)
        expectAgreedError("a\\nb.png' has a newline") {
            try pack(ImageRequest(path: folder.path + "/lines", imageSize: 8), into: folder.path + "/packed")
        }
    }

    /// Names in files that others wrote.
    @Test func namesMustFitTheArray() throws {
        let folder = try TemporaryFolder()
        let path = try folder.writeArray("train.npy", "<f4", [3, 1], [1, 2, 3] as [Float])
        try folder.writeArray("train_labels.npy", "|u1", [3], [0, 2, 1] as [UInt8])
        try folder.write("train_ids.txt", Array("a\r\nb\u{2028}c\n".utf8))
        let source = try ImageSource(path: folder.path, split: .train)
        #expect(source.classNames == nil)
        expectInputError("train_ids.txt: has 2 lines, expected 3", path) { try source.names(of: 0..<1) }
        try folder.write("train_ids.txt", Array("a\r\n\nb\u{2028}c".utf8))
        #expect(try source.names(of: 0..<3) == ["a\r", "", "b\u{2028}c"])
        try folder.write("classes.txt", Array("x\ny\n".utf8))
        let named = try ImageSource(path: folder.path, split: .train)
        #expect(named.classNames == ["x", "y"])
        expectInputError("label 2 at row 1", "classes.txt has 2 lines") { try named.load(images: 0..<3) }
        try folder.write("classes.txt", [0xFF, 0x0A])
        expectInputError("classes.txt: can't be read as text") { try ImageSource(path: folder.path, split: .train) }
    }
}

/// Expects an `AgreedError` of bad input that holds all of the texts.
private func expectAgreedError<Result>(
    _ texts: String..., sourceLocation: SourceLocation = #_sourceLocation, from work: () throws -> Result
) {
    do {
        _ = try work()
        Issue.record("no error, expected one with \(texts)", sourceLocation: sourceLocation)
    } catch let error as AgreedError {
        #expect(error.status == .badInput, sourceLocation: sourceLocation)
        for text in texts {
            #expect(error.description.contains(text), "\(error)", sourceLocation: sourceLocation)
        }
    } catch { Issue.record("\(error) is no AgreedError", sourceLocation: sourceLocation) }
}
