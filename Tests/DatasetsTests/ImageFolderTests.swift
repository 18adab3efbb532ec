import Collectives
import Foundation
import Testing
import XCTest

@testable import Datasets

struct ImageFolderTests {
    private func names(_ folder: ImageFolder?) throws -> [String] {
        try #require(folder).files.map { URL(fileURLWithPath: $0).lastPathComponent }
    }

    @Test func aFlatFolderHasNoClasses() throws {
        let folder = try TemporaryFolder()
        for name in ["b.png", "a.PNG", "c.jpeg", ".hidden.png", "notes.txt", "Thumbs.db", "B.png"] {
            try folder.write(name, try ImageFixtures.file("rgb.png"))
        }
        let source = try ImageSource(path: folder.path, split: .train)
        #expect(source.format == .folder)
        #expect(source.count == 4)
        #expect(source.classNames == nil)
        #expect(!source.hasSplits)
        #expect(source.classNames == nil)
        #expect(try source.names(of: 1..<3) == ["a.PNG", "b.png"])
        #expect(source.shape == ImageShape(height: 18, width: 24, channels: 3))
        #expect(try names(ImageFolder(folder.path, .train)) == ["B.png", "a.PNG", "b.png", "c.jpeg"])
        let pixels = ImageFixtures.bytes(try #require(ImageFixtures.load().rgb["rgb.png"]))
        #expect(try source.load(images: 1..<3).pixels == .bytes(.array(pixels + pixels)))
        #expect(try source.load(images: 0..<1).labels == nil)
        let grey = try open(ImageRequest(path: folder.path, channels: 1))
        #expect(grey.shape.channels == 1)
        expectInputError("has no unlabelled split") { try ImageSource(path: folder.path, split: .unlabelled) }
    }

    @Test func foldersAreClasses() throws {
        let folder = try TemporaryFolder()
        let file = try ImageFixtures.file("grey.jpg")  // grey images become those of colour
        for name in ["dog/2.jpg", "dog/1.jpg", "cat/x/deep/3.jpg", "cat/4.jpg", "empty/readme.txt", "train/5.jpg"] {
            try folder.write(name, file)
        }
        let source = try ImageSource(path: folder.path, split: .train)
        #expect(source.classNames?.count == 3)
        #expect(try source.load(images: 0..<5).labels == [0, 0, 1, 1, 2])
        #expect(source.shape.channels == 3)
        let found = try ImageFolder(folder.path, .train)
        #expect(found?.classes == ["cat", "dog", "train"])  // a lone class of that name is no split
        #expect(try names(found) == ["4.jpg", "3.jpg", "1.jpg", "2.jpg", "5.jpg"])
        try folder.write("stray.jpg", file)
        expectInputError("holds images both directly (stray.jpg) and in folders (cat)") {
            try ImageSource(path: folder.path, split: .train)
        }
    }

    /// A class that one split lacks doesn't shift the numbers of the others.
    @Test func splitsShareTheirClasses() throws {
        let folder = try TemporaryFolder()
        let file = try ImageFixtures.file("rgb.jpg")
        for name in ["train/b/1.jpg", "train/c/2.jpg", "val/a/3.jpg", "val/c/4.jpg", "test/5.jpg", "unlabeled/z/6.jpg"]
        {
            try folder.write(name, file)
        }
        let train = try ImageSource(path: folder.path, split: .train)
        #expect(train.hasSplits)
        #expect(train.classNames?.count == 3)
        #expect(try train.load(images: 0..<2).labels == [1, 2])
        // `test` has no classes, as ImageNet's, so `val` is taken.
        let test = try ImageSource(path: folder.path, split: .test)
        #expect(test.classNames?.count == 3)
        #expect(try test.load(images: 0..<2).labels == [0, 2])
        let unlabelled = try ImageSource(path: folder.path, split: .unlabelled)
        #expect(unlabelled.count == 1)
        #expect(unlabelled.classNames == nil)
        #expect(unlabelled.classNames == nil)
        #expect(try unlabelled.names(of: 0..<1) == ["unlabeled/z/6.jpg"])
        try FileManager.default.removeItem(atPath: folder.path + "/unlabeled")
        expectInputError("no folder unlabelled or unlabeled for the unlabelled split; found test, train, val") {
            try ImageSource(path: folder.path, split: .unlabelled)
        }
    }

    /// Classes and files are known by their names, whatever letters those have and however the folder is written.
    @Test func namesAreRelativeToTheFolder() throws {
        let folder = try TemporaryFolder()
        let file = try ImageFixtures.file("rgb.jpg")
        // A mark above nothing joins the slash before it to one letter.
        let files = ["train/e\u{301}/1.jpg", "train/räuber/x/2.jpg", "train/\u{301}/3.jpg", "train/🦊/\u{301}.jpg"]
        for name in files + ["test/wolf/5.jpg"] { try folder.write(name, file) }
        for path in [folder.path, folder.path + "/", folder.path + "/./"] {
            let source = try ImageSource(path: path, split: .train)
            let classes = ["e\u{301}", "räuber", "wolf", "\u{301}", "🦊"]
            #expect(source.classNames.map { $0.map { Array($0.utf8) } } == classes.map { Array($0.utf8) })
            let names = try #require(try source.names(of: 0..<4))
            #expect(names.map { Array($0.utf8) } == files.map { Array($0.utf8) })
            #expect(try source.names(of: 1..<3) == Array(files[1..<3]))
            #expect(try ImageDataset(source, images: 1..<3).labels == [1, 3])
            #expect(try source.names(of: 4..<4) == [])
        }
    }

    @Test func readsTheLayoutOfTinyImageNet() throws {
        let folder = try TemporaryFolder()
        let file = try ImageFixtures.file("rgb.jpg")
        for name in ["train/n1/images/n1_0.JPEG", "train/n2/images/n2_0.JPEG", "val/images/val_0.JPEG"]
            + ["val/images/val_1.JPEG", "test/images/test_0.JPEG"]
        {
            try folder.write(name, file)
        }
        try folder.write("val/val_annotations.txt", Array("val_0.JPEG\tn2\t0\t1\nval_1.JPEG\tn1\t2\t3\n".utf8))
        let test = try ImageSource(path: folder.path, split: .test)
        #expect(test.classNames?.count == 2)
        #expect(test.classNames == ["n1", "n2"])
        #expect(try test.names(of: 0..<2) == ["val/images/val_0.JPEG", "val/images/val_1.JPEG"])
        #expect(try test.load(images: 0..<2).labels == [1, 0])
        #expect(try ImageSource(path: folder.path, split: .train).load(images: 0..<2).labels == [0, 1])
        #expect(try ImageSource(path: folder.path + "/test", split: .test).classNames == nil)
        try folder.write("val/images/val_2.JPEG", file)
        expectInputError("val_2.JPEG: has no line in", "val_annotations.txt") {
            try ImageSource(path: folder.path, split: .test)
        }
        try folder.write("val/val_annotations.txt", Array("val_0.JPEG\tn2\nval_1.JPEG n1\n".utf8))
        expectInputError("val_annotations.txt: line 2 is 'val_1.JPEG n1'") {
            try ImageSource(path: folder.path, split: .test)
        }
    }

    @Test func linksAreFollowedOnce() throws {
        let (folder, other) = (try TemporaryFolder(), try TemporaryFolder())
        try other.write("1.png", try ImageFixtures.file("rgb.png"))
        try folder.write("a/2.png", try ImageFixtures.file("rgb.png"))
        let files = FileManager.default
        try files.createSymbolicLink(atPath: folder.path + "/b", withDestinationPath: other.path)
        try files.createSymbolicLink(atPath: folder.path + "/a/loop", withDestinationPath: folder.path)
        try files.createSymbolicLink(atPath: folder.path + "/a/3.png", withDestinationPath: other.path + "/1.png")
        let source = try ImageSource(path: folder.path, split: .train)
        #expect(try source.load(images: 0..<source.count).labels == [0, 0, 1])
        // A link to nothing is a broken image.
        try files.createSymbolicLink(atPath: folder.path + "/a/4.png", withDestinationPath: "nothing")
        expectInputError("a/4.png: can't be opened", "--skip-broken") {
            try ImageSource(path: folder.path, split: .train).load(images: 0..<4)
        }
    }

    @Test func sizesHaveToAgreeOrAreMadeTo() throws {
        let folder = try TemporaryFolder()
        try folder.write("a.png", try ImageFixtures.file("rgb.png"))
        var wide = try ImageFixtures.file("rgb.jpg")
        let frame = try #require((0..<wide.count).first { wide[$0] == 0xFF && wide[$0 + 1] == 0xC0 })
        wide[frame + 6] = 16  // two rows less, which JPEG's blocks of 8 or 16 don't mind
        try folder.write("b.jpg", wide)
        let source = try ImageSource(path: folder.path, split: .train)
        expectInputError("b.jpg: is 16x24, but ", "a.png is 18x24: to resize all images, add --set data.imageSize=64") {
            try source.load(images: 0..<2)
        }
        let resized = try open(ImageRequest(path: folder.path, imageSize: 8))
        #expect(resized.shape == ImageShape(height: 8, width: 8, channels: 3))
        #expect(try resized.load(images: 0..<2).pixels.count == 2 * 192)
    }

    @Test func oneImageIsNoDataSet() throws {
        expectInputError("rgb.png: is one image, expected a folder") {
            try ImageSource(path: ImageFixtures.path("rgb.png"), split: .train)
        }
        let folder = try TemporaryFolder()
        let text = try folder.write("x.pdf", Array("%PDF-1.7".utf8))
        expectInputError("x.pdf: starts with 25 50 44 46, expected IDX", ".npy", "CIFAR or STL-10", "folder") {
            try ImageSource(path: text, split: .train)
        }
    }
}

/// In XCTest, as all that needs ranks.
final class SkipBrokenTests: XCTestCase {
    func testWhatIsLeftOutDependsOnNoRank() throws {
        let folder = try TemporaryFolder()
        let whole = try ImageFixtures.file("rgb.jpg")
        for i in 0..<11 {
            let isBroken = [0, 4, 10].contains(i)
            let name = "\(i % 2 == 0 ? "even" : "odd")/\(i + 10).jpg"
            try folder.write(name, isBroken ? Array(whole.prefix(i == 4 ? 0 : 500)) : whole)
        }
        XCTAssertThrowsError(try ImageSource(ImageRequest(path: folder.path), ranks: SingleRank())) {
            let text = "\($0)"
            XCTAssert(
                text.contains("even/10.jpg: ")
                    && text.contains(
                        "to leave out such files, add "
                            + "--skip-broken"),
                text)
        }
        let request = ImageRequest(path: folder.path, skipBroken: true)
        let alone = try ImageSource(request, ranks: SingleRank())
        XCTAssertEqual(alone.count, 8)
        XCTAssertEqual(alone.skipped.count, 3)
        for (line, name) in zip(alone.skipped, ["even/10.jpg: broken", "even/14.jpg: is empty", "even/20.jpg: broken"])
        {
            XCTAssert(line.hasPrefix(folder.path + "/" + name), line)
        }
        guard alone.count == 8 else { return }
        let block = try alone.load(images: 0..<8)
        let kept = ["even/12.jpg", "even/16.jpg", "even/18.jpg"] + [11, 13, 15, 17, 19].map { "odd/\($0).jpg" }
        XCTAssertEqual(try alone.names(of: 0..<8), kept)
        XCTAssertEqual(alone.classNames, ["even", "odd"])
        XCTAssertEqual(block.labels, [0, 0, 0, 1, 1, 1, 1, 1])
        for worldSize in 2...3 {
            try ThreadRank.run(worldSize) { ranks in
                let source = try ImageSource(request, ranks: ranks)
                XCTAssertEqual(source.skipped, alone.skipped)
                XCTAssertEqual(source.count, 8)
                XCTAssertEqual(source.shape, alone.shape)
                let own = try source.load(images: 0..<8)
                XCTAssertEqual(own.labels, block.labels)
                XCTAssertEqual(own.pixels, block.pixels)
                XCTAssertEqual(try source.names(of: 2..<7), Array(kept[2..<7]))
            }
        }
    }

    func testRanksHaveToSeeTheSameFiles() throws {
        let folder = try TemporaryFolder()
        let path = folder.path
        for name in ["0/a.png", "1/b.png"] { try folder.write(name, try ImageFixtures.file("rgb.png")) }
        try ThreadRank.run(2) { ranks in
            XCTAssertThrowsError(try ImageSource(ImageRequest(path: "\(path)/\(ranks.rank)"), ranks: ranks)) {
                XCTAssert("\($0)".contains("ranks see different files"), "\($0)")
            }
        }
    }

    func testNothingLeftIsRefused() throws {
        let folder = try TemporaryFolder()
        for i in 0..<5 { try folder.write("\(i).png", [1, 2, 3, UInt8(i)]) }
        let path = folder.path
        for worldSize in 1...3 {
            try ThreadRank.run(worldSize) { ranks in
                XCTAssertThrowsError(
                    try ImageSource(ImageRequest(path: path, skipBroken: true), ranks: ranks)
                ) {
                    XCTAssertEqual(($0 as? AgreedError)?.status, .badInput)
                    XCTAssert("\($0)".contains("none of the 5 images"), "\($0)")
                    XCTAssert("\($0)".contains("0.png: starts with 01 02 03 00"), "\($0)")
                }
            }
        }
    }
}
