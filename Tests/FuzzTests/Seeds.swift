import CZlib
import Foundation

@testable import Datasets

/// Small valid files, from which the fuzzer starts.
enum Seeds {
    /// Three images of 4x3.
    static let idxImages: [UInt8] = [2051, 3, 4, 3].flatMap(bigEndian) + (0..<36).map { UInt8(7 * $0) }
    static let idxLabels: [UInt8] = [2049, 3].flatMap(bigEndian) + [0, 9, 3]

    /// Four bytes, the highest first.
    private static func bigEndian(_ number: Int) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: number >> (24 - 8 * $0)) }
    }

    /// A record, with a coarse and a fine label where two are given.
    static func cifar(labels: [UInt8]) -> [UInt8] { labels + (0..<3 * 1024).map { UInt8(truncatingIfNeeded: $0) } }

    static func stl10(images: Int) -> [UInt8] { (0..<images * 3 * 9216).map { UInt8(truncatingIfNeeded: $0 / 96) } }

    // MARK: - gzip

    /// Writes a compressed file and returns its path.
    static func compress(_ bytes: [UInt8], to path: String) throws -> String {
        guard let handle = gzopen(path, "wb1") else { throw Parser.Unexpected(description: "\(path) can't be made") }
        let count = gzwrite(handle, bytes, UInt32(bytes.count))
        try require(gzclose(handle) == Z_OK && count == bytes.count, "\(path) can't be written")
        return path
    }

    /// Each of them plain and compressed.
    static func withCompressed(_ files: [String: [UInt8]]) throws -> [String: [UInt8]] {
        let folder = try InputFolder()
        var result = files
        for (name, bytes) in files {
            let path = try compress(bytes, to: folder.path + "/" + name)
            result[name + ".gz"] = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
        }
        return result
    }

    // MARK: - NumPy

    /// A `.npy` file with this header.
    static func array<Value: BitwiseCopyable>(header: String, version: UInt8 = 1, _ values: [Value]) -> [UInt8] {
        let text = Array(header.utf8) + [0x0A]
        let length = (0..<(version == 1 ? 2 : 4)).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) }
        return NumPyArray.magic + [version, 0] + length + text + values.withUnsafeBytes { Array($0) }
    }

    static func array<Value: BitwiseCopyable>(_ type: String, _ shape: [Int], _ values: [Value]) -> [UInt8] {
        let axes = shape.map { "\($0)," }.joined(separator: " ")
        return array(header: "{'descr': '\(type)', 'fortran_order': False, 'shape': (\(axes)), }", values)
    }

    static let arrays: [String: [UInt8]] = [
        "vectors": array("<f4", [3, 2], [0, 1, 2, 3, 4, 5] as [Float]),
        "doubles": array("<f8", [2, 2, 2], [0, 1, 2, 3, 4, 5, 6, -1e30] as [Double]),
        "images": array("|u1", [2, 3, 2, 3], [UInt8](idxImages.suffix(36))),
        "integers": array("<i8", [2], [-1, Int.max] as [Int]),
        "big": array(">f4", [2, 2], [1, 2, 3, 4] as [Float]), "half": array("<f2", [3], [1, 2, 3] as [UInt16]),
        "planes": array("|b1", [1, 2, 3, 3], [UInt8](repeating: 1, count: 18)),
        "second": array(
            header: "{\"shape\":(2L,1),\"fortran_order\":False,\"descr\":\"<u2\"}", version: 2, [1, 65535] as [UInt16]),
    ]

    static let labelArrays: [String: [UInt8]] = [
        "bytes": array("|u1", [3], [0, 9, 255] as [UInt8]), "shorts": array("<i2", [3], [0, 1, 300] as [Int16]),
        "words": array("<u8", [3], [0, 9, 65535] as [UInt64]), "numbers": array("<i8", [3], [2, 1, 0] as [Int]),
        "column": array("<f8", [3, 1], [-1, 70000, 0] as [Double]),
    ]

    // MARK: - Image files

    private static let images = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("../DatasetsTests/Fixtures").path

    static func imageFile(_ name: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: URL(fileURLWithPath: images + "/" + name)))
    }

    /// The fixtures whose names end so, and of PNG one that is not compressed, so that changes reach the pixels.
    static func imageFiles(named ending: String) throws -> [String: [UInt8]] {
        let names = try FileManager.default.contentsOfDirectory(atPath: images).filter { $0.hasSuffix(ending) }
        try require(names.count > 3, "\(names.count) files \(ending) in \(images)")
        var files = Dictionary(uniqueKeysWithValues: try names.map { ($0, try imageFile($0)) })
        if ending == ".png" { files["stored.png"] = storedPNG() }
        return files
    }

    /// 5x4 pixels of grey and alpha, each row with another filter.
    private static func storedPNG() -> [UInt8] {
        var rows: [UInt8] = []
        for row in 0..<4 as Range<UInt8> {
            rows.append(row + 1)
            for column in 0..<10 as Range<UInt8> { rows.append(20 * column + row) }
        }
        var size = uLong(64 + rows.count)
        var packed = [UInt8](repeating: 0, count: Int(size))
        compress2(&packed, &size, rows, uLong(rows.count), 0)
        var file: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]
        file += chunk("IHDR", bigEndian(5) + bigEndian(4) + [8, 4, 0, 0, 0])
        file += chunk("gAMA", bigEndian(45455))
        file += chunk("tEXt", Array("Title\0words".utf8))
        file += chunk("IDAT", Array(packed.prefix(Int(size))))
        file += chunk("IEND", [])
        return withRightChecksums(file)
    }

    private static func chunk(_ type: String, _ data: [UInt8]) -> [UInt8] {
        bigEndian(data.count) + Array(type.utf8) + data + [0, 0, 0, 0]
    }

    /// A PNG whose chunks have the checksums that belong to them, up to the first that goes beyond the end.
    static func withRightChecksums(_ file: [UInt8]) -> [UInt8] {
        var file = file
        var offset = 8
        while offset + 12 <= file.count {
            let length = file[offset..<offset + 4].reduce(0) { $0 << 8 | Int($1) }
            guard length <= file.count - offset - 12 else { break }
            let checksum = file[(offset + 4)...].withUnsafeBytes {
                crc32_z(0, $0.bindMemory(to: UInt8.self).baseAddress, 4 + length)
            }
            file.replaceSubrange(offset + 8 + length..<offset + 12 + length, with: bigEndian(Int(checksum)))
            offset += 12 + length
        }
        return file
    }
}
