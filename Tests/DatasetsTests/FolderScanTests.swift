import Collectives
import Foundation
import Testing
import XCTest

@testable import Datasets

/// Scans of folders: their results and notes.
struct FolderScanTests {
    /// A folder with these files, image files among them by their names.
    private func folder(_ names: [String]) throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        let image = try ImageFixtures.file("rgb.png")
        for name in names { try folder.write(name, image) }
        return folder
    }

    /// The notes, without the path at the beginning of each line.
    private func notes(_ folder: TemporaryFolder, _ split: Split = .train) throws -> [String] {
        try ImageSource(path: folder.path, split: split).notes.map {
            $0.replacingOccurrences(of: folder.path + "/", with: "")
                .replacingOccurrences(of: folder.path + ": ", with: "")
        }
    }

    @Test func saysWhatIsLeftOut() throws {
        let folder = try folder(
            [
                "cat/1.jpg", "cat/2.JPEG", "cat/a.jpe", "dog/b.webp", "dog/deep/c.webp", "owl/d.bmp", "bee/e.png",
                "notes",
            ]
                + ["bee/f.PNG", "bee/more/g.TIFF", ".thumbs/h.png", "bee/.i.png", ".git/config", ".DS_Store"])
        let source = try ImageSource(path: folder.path, split: .train)
        #expect(source.count == 4)
        #expect(
            try notes(folder) == [
                "has no folders train and test, so all of it is one set, of 2 classes: bee, cat",
                "left out 6 of 10 files, whose names don't end in .jpg, .jpeg, .png: 2 .webp, 1 without an ending, "
                    + "1 .bmp, 1 .jpe, 1 .tiff",
                "found no image file in bee/more, dog, owl",
                "left out names that begin with a dot: .thumbs, bee/.i.png",
            ])
    }

    @Test func aFlatFolderOfImagesNeedsNoWord() throws {
        #expect(try notes(folder(["a.png", "b.jpg"])) == [])
        #expect(try notes(folder(["train/a/1.png", "test/a/2.png"])) == [])
        #expect(try notes(folder(["train/1.png", "val/images/2.png", "unlabelled/3.png"])) == [])
    }

    @Test func whatIsNoImageIsCounted() throws {
        let folder = try folder(["x/1.webp", "x/2.webp", "y/3.gif"])
        expectInputError("no images found; searched for", "found x, y; files in all folders: 2 .webp, 1 .gif") {
            try ImageSource(path: folder.path, split: .train)
        }
    }

    /// Each has 2 training images and, where there is a third split, scores 1 of another.
    @Test(arguments: ["Train Test", "TRAIN VAL", "training testing", "train valid", "train validation", "Training Val"])
    func splitsAreKnownByManyNames(_ names: String) throws {
        let names = names.split(separator: " ")
        for classes in [["/a/1.png", "/b/2.png"], ["/1.png", "/2.png"]] {
            for wrapping in ["", "archive/", "archive/images/"] {
                let files = classes.map { wrapping + names[0] + $0 } + [wrapping + names[1] + classes[0]]
                let folder = try folder(files)
                let train = try ImageSource(path: folder.path, split: .train)
                #expect(train.hasSplits && train.count == 2)
                #expect(train.classNames == (classes[0].hasPrefix("/a") ? ["a", "b"] : nil))
                #expect(try train.names(of: 0..<2) == Array(files.prefix(2)))
                let test = try ImageSource(path: folder.path, split: .test)
                #expect(try test.count == 1 && test.names(of: 0..<1) == [files[2]])
                let root = wrapping.dropLast()
                let found = "its splits (\(names.sorted().joined(separator: ", "))) were found in \(root)"
                #expect(try notes(folder) == (wrapping.isEmpty ? [] : [found]))
            }
        }
    }

    @Test func saysWhichSplitsAreLeftOut() throws {
        let three = try folder(["train/a/1.png", "Test/a/2.png", "val/a/3.png", "extra/a/4.png", "doc/x.txt"])
        let lines = [
            "left out val, because the test split is Test", "left out folders that are not a split: extra",
            "found no image file in doc",
        ]
        #expect(try notes(three) == lines)
        #expect(try notes(three, .test) == lines)
        #expect(try ImageSource(path: three.path, split: .test).names(of: 0..<1) == ["Test/a/2.png"])
        // As ImageNet, whose test images have no classes.
        let other = try folder(["train/a/1.png", "test/2.png", "valid/a/3.png"])
        #expect(try notes(other) == ["left out test, because the test split is valid"])
        let empty = try folder(["train/a/1.png", "test/a/2.webp"])
        #expect(try notes(empty) == ["found no image file in test"])
    }

    /// Vehicles have a class `train`, and what isn't found to be a split is seen among the classes, however many.
    @Test func classesOfAWholeAreListed() throws {
        let vehicles = try folder(["bus/1.png", "Train/2.png", "car/3.png"])
        let opening = "has no folders train and test, so all of it is one set, of "
        #expect(try notes(vehicles) == [opening + "3 classes: Train, bus, car"])
        let many = try folder((10..<40).map { "class\($0)/1.png" } + ["seg_test/1.png", "seg_train/2.png"])
        let line = try #require(try notes(many).first)
        #expect(line.hasPrefix(opening + "32 classes: seg_test, seg_train, class10, class11"), "\(line)")
        #expect(line.hasSuffix("class27 and 12 more"), "\(line)")
    }

    // MARK: - Names that aren't UTF-8

    /// Writes a file whose name's bytes are given.
    private func write(_ name: [UInt8], in folder: String) throws {
        let path = Array((folder + "/").utf8) + name + [0]
        let descriptor = path.withUnsafeBufferPointer { bytes in
            bytes.withMemoryRebound(to: CChar.self) { open($0.baseAddress!, O_CREAT | O_WRONLY, 0o644) }
        }
        try #require(descriptor >= 0)
        close(descriptor)
    }

    @Test func namesOutsideUTF8StopNothing() throws {
        let folder = try folder(["a/1.png", "b/2.png"])
        try write(Array("caf".utf8) + [0xE9] + Array(".txt".utf8), in: folder.path + "/a")
        try write([0xFF], in: folder.path)
        let source = try ImageSource(path: folder.path, split: .train)
        #expect(source.count == 2)
        let line = "left out 2 of 4 files, whose names don't end in .jpg, .jpeg, .png: 1 without an ending, 1 .txt"
        #expect(try notes(folder).last == line)
    }

    @Test func foldersWithoutImagesAreDescribed() throws {
        let folder = try TemporaryFolder()
        try folder.write("x.txt", [1])
        try write([0xE9] + Array(".gif".utf8), in: folder.path)
        expectInputError("found \\xe9.gif, x.txt; files in all folders: 1 .gif, 1 .txt") {
            try ImageSource(path: folder.path, split: .train)
        }
    }

    @Test func arraysThatAreNoSplitAreNamed() throws {
        let folder = try folder(["cat/1.png"])
        for name in ["train", "test", "test_labels", "val", "valid_labels"] {
            _ = try NumPyArray.create(path: "\(folder.path)/\(name).npy", shape: [2, 3, 3])
        }
        #expect(
            try notes(folder) == [
                "left out image files (.jpg, .jpeg, .png), because the folder is read as numPy",
                "left out arrays that are not a split: val.npy, valid_labels.npy",
            ])
    }

    @Test func imagesOutsideUTF8AreNamed() throws {
        let folder = try folder(["a/1.png", "b/2.png"])
        try write(Array("caf".utf8) + [0xE9] + Array(".PNG".utf8), in: folder.path + "/a")
        let line = "a/caf\\xe9.PNG: has a name that is not UTF-8: rename it"
        expectInputError("\(folder.path)/\(line); to leave out such files, add --skip-broken") {
            try ImageSource(path: folder.path, split: .train)
        }
        let kept = try open(ImageRequest(path: folder.path, skipBroken: true))
        #expect(kept.count == 2)
        #expect(kept.skipped == ["\(folder.path)/\(line)"])
        let alone = try TemporaryFolder()
        try write([0xE9] + Array(".jpg".utf8), in: alone.path)
        expectInputError(
            "none of the 1 images can be decoded; the first: \(alone.path)/\\xe9.jpg: has a name that is "
                + "not UTF-8"
        ) {
            try open(ImageRequest(path: alone.path, skipBroken: true))
        }
    }

    @Test func namesCanBePrinted() {
        #expect(printable(Array("é\n".utf8)) == "é\\n")
        #expect(printable([0xC3, 0xA9, 0xC3, 0x41, 0xE9]) == "é\\xc3A\\xe9")
    }

    // MARK: - What version 1 of reading took

    @Test func knowsWhichSplitsWereOther() throws {
        func changes(_ names: [String], _ split: Split = .train) throws -> [String] {
            let folder = try folder(names)
            let changes = try ImageSource(path: folder.path, split: split).changes
            #expect(changes.allSatisfy { $0.since == 2 })
            return changes.map { $0.what.replacingOccurrences(of: folder.path, with: "DATA") }
        }
        #expect(
            try changes(["Train/a/1.png", "Test/a/2.png"])
                == ["the train split of DATA is now DATA/Train, and was all of it"])
        #expect(try changes(["x/train/a/1.png", "x/test/a/2.png"]).count == 1)
        #expect(try changes(["train/1.png", "valid/2.png"]).count == 1)
        for same in [["a/1.png"], ["1.png"], ["train/a/1.png", "valid/a/2.png"], ["train/1.png", "val/2.png"]] {
            #expect(try changes(same) == [])
        }
        #expect(
            try changes(["train/a/1.png", "testing/a/2.png", "val/a/2.png"], .test)
                == ["the test split of DATA is now DATA/testing, and was DATA/val"])
        #expect(try changes(["Train/a/1.png", "Test/a/2.png"], .test) == [])  // was refused
    }
}

/// Over all ranks.
final class ImageRemarkTests: XCTestCase {
    func testRemarksAreCountedOverRanks() throws {
        let folder = try TemporaryFolder()
        let names = ["rgb.png", "grey12.png", "alpha.png", "grey12.png", "alpha.png", "gamma.png", "rgb.png"]
        for (index, name) in names.enumerated() {
            try folder.write("\(index).png", try ImageFixtures.file(name))
        }
        var settings = ViewSettings()
        (settings.path, settings.virtualShards) = (folder.path, 4)
        let (asked, path) = (settings, folder.path)
        let notes = [
            "2 of 7 image files have 16 bits for each value, of which the upper 8 are used; an example is "
                + "\(path)/1.png",
            "2 of 7 image files have 16 bits for each value but none above 4095 (12-bit data?); the upper 8 bits, "
                + "which are used, are nearly black: multiply the values in the files by 16; an example is "
                + "\(path)/1.png",
            "2 of 7 image files have transparent parts, which are blended with black; an example is \(path)/2.png",
        ].map { "\(path): \($0)" }
        for worldSize in 1...3 {
            try ThreadRank.run(worldSize) { ranks in
                let source = try ViewSource(asked, ViewRecipe([Augmentation()]), batch: 2, seed: 0, ranks: ranks)
                XCTAssertEqual(source.notes, notes)
                XCTAssertEqual(source.changes.map(\.since), [2])
                XCTAssertTrue(source.changes.first?.what.hasPrefix("5 of 7 image files had other pixels") == true)
                let rows = try ViewSource.rows(
                    asked, ViewRecipe([Augmentation()]), split: nil, isLabelled: false, patches: nil, card: source.card,
                    ranks: ranks)
                XCTAssertEqual(rows.samples.notes, notes)
                XCTAssertEqual(rows.samples.changes, source.changes)
            }
        }
    }
}
