import Foundation
import Testing

@testable import Training

/// Owns the memory of named arrays.
final class OwnedArrays {
    let arrays: [NamedArray]

    init(_ arrays: [(name: String, shape: [Int], values: [Float])]) {
        self.arrays = arrays.map { name, shape, values in
            let memory = UnsafeMutableBufferPointer<Float>.allocate(capacity: values.count)
            _ = memory.initialize(fromContentsOf: values)
            return NamedArray(name: name, shape: shape, values: memory)
        }
    }

    deinit { for array in arrays { array.values.deallocate() } }

    var bits: [[UInt32]] { arrays.map { $0.values.map(\.bitPattern) } }

    /// The file of these arrays.
    func file() throws -> Data {
        arrays.reduce(try SafeTensors.header(arrays)) { $0 + Data(buffer: $1.values) }
    }
}

struct SafeTensorsTests {
    private let name = "some/weights.safetensors"
    private let values: [(name: String, shape: [Int], values: [Float])] = [
        ("b.weight", [2, 3], [1, -0.0, .nan, .infinity, .leastNonzeroMagnitude, -7.25]), ("a/\"odd\" é", [1], [2]),
        ("empty", [0, 4], []), ("scalar", [], [0.1]),
    ]

    private func file(_ header: String, data: [UInt8] = [UInt8](repeating: 0, count: 8)) -> Data {
        let length = (0..<8).map { UInt8(truncatingIfNeeded: header.utf8.count >> (8 * $0)) }
        return Data(length) + Data(header.utf8) + Data(data)
    }

    @Test func whatIsWrittenIsRead() throws {
        let written = OwnedArrays(values)
        let read = OwnedArrays(values.map { ($0.name, $0.shape, [Float](repeating: 9, count: $0.values.count)) })
        let file = try written.file()
        try SafeTensors.read(file, file: name, into: read.arrays)
        #expect(read.bits == written.bits)

        // A slice of a larger buffer doesn't start at index 0.
        let again = OwnedArrays(values.map { ($0.name, $0.shape, [Float](repeating: 9, count: $0.values.count)) })
        try SafeTensors.read((Data([1, 2, 3]) + file).dropFirst(3), file: name, into: again.arrays)
        #expect(again.bits == written.bits)
    }

    /// 8 bytes of length, little endian; JSON with dtype, shape and data_offsets; the arrays one after another.
    @Test func layoutIsThatOfTheFormat() throws {
        let written = OwnedArrays(values)
        let bytes = [UInt8](try written.file())
        let length = (0..<8).reduce(0) { $0 | Int(bytes[$1]) << (8 * $1) }
        #expect(length % 8 == 0)  // keeps the arrays aligned
        #expect(bytes[8] == UInt8(ascii: "{"))
        #expect(bytes.count == 8 + length + 4 * (6 + 1 + 0 + 1))
        let json = try JSONSerialization.jsonObject(with: Data(bytes[8..<8 + length]))
        let header = try #require(json as? [String: [String: Any]])
        #expect(Set(header.keys) == Set(values.map(\.name)))
        var start = 0
        for (name, shape, values) in values {
            let entry = try #require(header[name])
            #expect(Set(entry.keys) == ["dtype", "shape", "data_offsets"])
            #expect(entry["dtype"] as? String == "F32")
            #expect(entry["shape"] as? [Int] == shape)
            #expect(entry["data_offsets"] as? [Int] == [start, start + 4 * values.count])
            for (i, value) in values.enumerated() {
                let offset = 8 + length + start + 4 * i
                #expect((0..<4).reduce(0) { $0 | UInt32(bytes[offset + $1]) << (8 * $1) } == value.bitPattern)
            }
            start += 4 * values.count
        }
    }

    /// As the Python package writes it: compact, with metadata, arrays in an order of its own.
    @Test func readsFilesOfOthers() throws {
        let header =
            #"{"__metadata__":{"format":"pt"},"y":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"#
            + #""x":{"dtype":"F32","shape":[1,2],"data_offsets":[4,12]}}   "#
        let arrays = OwnedArrays([("x", [1, 2], [0, 0]), ("y", [1], [0])])
        let data: [UInt8] = [0, 0, 0x80, 0x3F, 0, 0, 0, 0xC0, 0, 0, 0x20, 0x41]  // 1; -2, 10
        try SafeTensors.read(file(header, data: data), file: name, into: arrays.arrays)
        #expect(arrays.bits == [[Float(-2).bitPattern, Float(10).bitPattern], [Float(1).bitPattern]])
    }

    @Test func refusesDamage() throws {
        let arrays = OwnedArrays([("x", [2], [0, 0])])
        func refused(_ data: Data, _ text: String, at: SourceLocation = #_sourceLocation) {
            expectInputError(name + ":", text, sourceLocation: at) {
                try SafeTensors.read(data, file: name, into: arrays.arrays)
            }
        }
        func entry(_ dtype: String, _ shape: String, _ offsets: String) -> String {
            #"{"x":{"dtype":"\#(dtype)","shape":\#(shape),"data_offsets":\#(offsets)}}"#
        }
        let whole = file(entry("F32", "[2]", "[0,8]"))
        try SafeTensors.read(whole, file: name, into: arrays.arrays)

        refused(Data(), "0 bytes")
        refused(whole.prefix(7), "7 bytes")
        refused(whole.prefix(8), "truncated")
        refused(whole.prefix(30), "truncated")
        refused(whole.dropLast(), "beyond the file's end")
        for length in [UInt64(1) << 63, .max, UInt64(Int.max), 1 << 40, UInt64(whole.count - 7)] {
            let claim = withUnsafeBytes(of: length.littleEndian) { Data($0) }
            refused(claim + whole.dropFirst(8), "header of \(length) bytes")
        }
        refused(file("not JSON"), "not JSON")
        refused(file("[1, 2]"), "not JSON")
        refused(file(""), "not JSON")
        refused(file("{}"), "no array x")
        refused(file(#"{"x":{"dtype":"F32"}}"#), "no array x")
        refused(file(#"{"x":5}"#), "no array x")
        refused(file(entry("F16", "[2]", "[0,8]")), "F16")
        refused(file(entry("F32", "[1,2]", "[0,8]")), "[1, 2]")
        refused(file(entry("F32", "[2]", "[0,4]")), "beyond")
        refused(file(entry("F32", "[2]", "[4,12]")), "beyond")
        refused(file(entry("F32", "[2]", "[-8,0]")), "beyond")
        refused(file(entry("F32", "[2]", "[0]")), "beyond")
        refused(file(entry("F32", "[2]", "[]")), "beyond")
        refused(file(entry("F32", "[2]", "[9223372036854775800,9223372036854775807]")), "beyond")
        let extra = #"{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"z":{}}"#
        refused(file(extra), "has an unknown array z")
    }
}
