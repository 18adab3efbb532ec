import CZip
import Foundation
import Testing

@testable import Datasets

struct NumPyArchiveTests {
    /// The files in an archive, which libzip holds against their checksums.
    private func members(_ path: String) throws -> [String: [UInt8]] {
        let archive = try #require(zip_open(path, ZIP_RDONLY | ZIP_CHECKCONS, nil))
        defer { zip_discard(archive) }
        var members: [String: [UInt8]] = [:]
        for index in 0..<UInt64(zip_get_num_entries(archive, 0)) {
            var status = zip_stat_t()
            try #require(zip_stat_index(archive, index, 0, &status) == 0)
            let file = try #require(zip_fopen_index(archive, index, 0))
            // One more than there is: checksums are looked at when the end is read.
            var bytes = [UInt8](repeating: 0, count: Int(status.size) + 1)
            try #require(zip_fread(file, &bytes, UInt64(bytes.count)) == status.size)
            try #require(zip_fclose(file) == 0)
            members[String(cString: try #require(status.name))] = bytes.dropLast()
        }
        return members
    }

    private func names(_ folder: TemporaryFolder) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
    }

    @Test func holdsWhatNumPySaves() throws {
        let folder = try TemporaryFolder()
        let features = folder.path + "/features.writing"
        try NumPyArray.write(path: features, shape: [2, 3], values: [0, 0.25, 0.5, 0.75, 1, 1.25])
        let path = folder.path + "/x.npz"
        try NumPyArchive.write(
            path: path,
            [
                ("features", .file(features)),
                ("labels", .array(.int32([7, 0, -5, .max]))),
                ("indices", .array(.int64([0, 1, .min, .max]))),
                ("classes", .array(.text(["cat", "räuber", "", "🦊🐈‍⬛", "日本", "e\u{301}"]))),
                ("unnamed", .array(.text([""]))),
                ("no_text", .array(.text([]))),
                ("no_labels", .array(.int32([]))),
                ("no_indices", .array(.int64([]))),
            ])
        let written = try members(path)
        let expected = try members(ImageFixtures.path("arrays.npz"))
        #expect(expected.count == 8)
        #expect(Set(written.keys) == Set(expected.keys))
        for (name, bytes) in expected { #expect(written[name] == bytes, "\(name)") }
        #expect(try names(folder) == ["features.writing", "x.npz"])
        // Stored as they are: the archive is hardly larger than the arrays.
        let size = written.values.reduce(0) { $0 + $1.count }
        #expect(try (size..<size + 2000).contains(fileSize(path)))
    }

    @Test func takesThePlaceOfAFileAndOfWhatAKillLeft() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("x.npz", [UInt8](repeating: 1, count: 5000))
        try folder.write("x.npz.packing", [UInt8](repeating: 2, count: 5000))
        let features = folder.path + "/features.npy"
        let entries: [(name: String, content: NumPyArchive.Content)] = [
            ("features", .file(features)), ("labels", .array(.int32([1]))),
        ]
        try NumPyArray.write(path: features, shape: [1], values: [1])
        try NumPyArchive.write(path: path, entries)
        #expect(try members(path).keys.sorted() == ["features.npy", "labels.npy"])
        #expect(try names(folder) == ["features.npy", "x.npz"])
        // The same bytes, whatever the clock says and who may read the features.
        let first = try folder.read("x.npz")
        #expect(chmod(features, 0o600) == 0)
        var times = [timeval(tv_sec: 1_000_000_000, tv_usec: 0), timeval(tv_sec: 1_000_000_000, tv_usec: 0)]
        #expect(utimes(features, &times) == 0)
        try NumPyArchive.write(path: path, entries)
        #expect(try folder.read("x.npz") == first)
        #expect(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int == readable())
    }

    /// The permissions of any new file.
    private func readable() throws -> Int? {
        let folder = try TemporaryFolder()
        let path = try folder.write("plain", [])
        try SystemFile(path + "2", .create).synchronise()
        return try FileManager.default.attributesOfItem(atPath: path + "2")[.posixPermissions] as? Int
    }

    @Test func whatFailsLeavesNothing() throws {
        let folder = try TemporaryFolder()
        let labels = NumPyArchive.Content.array(.int32([1]))
        expectInputError("/none/x.npz.packing: can't be ", "No such file") {
            try NumPyArchive.write(path: folder.path + "/none/x.npz", [("labels", labels)])
        }
        let path = try folder.write("x.npz", [1, 2, 3])
        expectInputError("features.npy: can't be opened: No such file") {
            try NumPyArchive.write(
                path: path, [("labels", labels), ("features", .file(folder.path + "/features.npy"))])
        }
        let cut = folder.path + "/features.npy"
        try NumPyArray.write(path: cut, shape: [2, 3], values: [0, 1, 2, 3, 4, 5])
        try folder.write("features.npy", Array(folder.read("features.npy").dropLast()))
        expectInputError("features.npy: has 151 bytes, expected 152") {
            try NumPyArchive.write(path: path, [("labels", labels), ("features", .file(cut))])
        }
        expectInputError("x.npz.packing: can't be written: File already exists") {
            try NumPyArchive.write(path: path, [("labels", labels), ("labels", labels)])
        }
        #expect(try folder.read("x.npz") == [1, 2, 3])
        #expect(try names(folder) == ["features.npy", "x.npz"])
        let occupied = folder.path + "/occupied.npz"
        try FileManager.default.createDirectory(atPath: occupied, withIntermediateDirectories: false)
        expectInputError("occupied.npz: can't be renamed from ") {
            try NumPyArchive.write(path: occupied, [("labels", labels)])
        }
        #expect(try names(folder) == ["features.npy", "occupied.npz", "x.npz"])
    }
}
