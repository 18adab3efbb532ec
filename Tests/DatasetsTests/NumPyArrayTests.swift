import Testing

@testable import Datasets

struct NumPyArrayTests {
    /// As numpy 2.4.6 writes `numpy.save("x.npy", numpy.arange(6, dtype="<f4").reshape(2, 3) / 4)`.
    private let float32: [UInt8] =
        opening(1, length: [118, 0], "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", size: 118)
        + [0, 0, 0, 0, 0, 0, 0x80, 0x3e, 0, 0, 0, 0x3f, 0, 0, 0x40, 0x3f, 0, 0, 0x80, 0x3f, 0, 0, 0xa0, 0x3f]

    private static func opening(_ version: UInt8, length: [UInt8], _ text: String, size: Int) -> [UInt8] {
        var result: [UInt8] = [0x93] + "NUMPY".utf8
        result += [version, 0] + length
        result += text.utf8
        result += [UInt8](repeating: 0x20, count: size - text.utf8.count - 1)
        return result + [0x0a]
    }

    /// A file of format 1.0 with this dictionary and so many bytes of data.
    private func file(_ text: String, data: Int) -> [UInt8] {
        Self.opening(1, length: [118, 0], text, size: 118) + [UInt8](repeating: 0, count: data)
    }

    @Test func readsWhatNumPyWrites() throws {
        let folder = try TemporaryFolder()
        let array = try NumPyArray(path: folder.write("x.npy", float32))
        #expect(array.shape == [2, 3])
        #expect(array.element == .float32)
        #expect(array.dataOffset == 128)
        #expect(try array.read(rows: 0..<2) == [0, 0.25, 0.5, 0.75, 1, 1.25])
        #expect(try array.read(rows: 1..<2) == [0.75, 1, 1.25])
        #expect(try array.read(rows: 1..<1) == [])
    }

    @Test func writesWhatNumPyWrites() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/x.npy"
        try NumPyArray.write(path: path, shape: [2, 3], values: [0, 0.25, 0.5, 0.75, 1, 1.25])
        #expect(try folder.read("x.npy") == float32)
    }

    @Test func readsDoublesIntegersAndLaterFormats() throws {
        let folder = try TemporaryFolder()
        let doubles =
            file("{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }", data: 0)
            + [0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0xc0]
        #expect(try NumPyArray(path: folder.write("d.npy", doubles)).read(rows: 0..<2) == [1.5, -2])
        let integers =
            file("{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }", data: 0)
            + [3, 0, 0, 0, 0, 0, 0, 0] + [UInt8](repeating: 255, count: 8)
        expectInputError("i.npy", "'<i8', expected '<f4', '<f8' or '<f2'", "save with array.astype('<f8')") {
            try NumPyArray(path: folder.write("i.npy", integers))
        }
        for version: UInt8 in [2, 3] {
            let text = "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }"
            let bytes = Self.opening(version, length: [116, 0, 0, 0], text, size: 116) + [0, 0, 0x80, 0x3f]
            #expect(try NumPyArray(path: folder.write("v.npy", bytes)).read(rows: 0..<1) == [1])
        }
    }

    /// 1.5 and -2 in each type of float, and 1 and 2 in each of whole numbers, in either order of bytes.
    @Test func readsAnyNumbers() throws {
        let folder = try TemporaryFolder()
        func read(_ descriptor: String, _ bytes: [UInt8]) throws -> [Float] {
            for order in ["<", ">"] {
                let size = bytes.count / 2
                let isReversed = order == ">"
                let turned: [[UInt8]] = [bytes[..<size].reversed(), bytes[size...].reversed()]
                let stored = isReversed ? turned[0] + turned[1] : bytes
                let path = try folder.writeArray(
                    "x.npy", size == 1 ? "|" + descriptor : order + descriptor, [2], stored)
                let array = try NumPyArray(path: path, accepting: NumPyElement.allCases)
                let values = try array.read(rows: 0..<2)
                #expect(try array.read(rows: 1..<2) == [values[1]])
                guard isReversed else { continue }
                return values
            }
            return []
        }
        #expect(try read("f2", [0, 0x3E, 0, 0xC0]) == [1.5, -2])
        #expect(try read("f4", [0, 0, 0xC0, 0x3F, 0, 0, 0, 0xC0]) == [1.5, -2])
        #expect(try read("f8", [0, 0, 0, 0, 0, 0, 0xF8, 0x3F, 0, 0, 0, 0, 0, 0, 0, 0xC0]) == [1.5, -2])
        #expect(try read("b1", [0, 1]) == [0, 1])
        for size in [1, 2, 4, 8] {
            let one = [1] + [UInt8](repeating: 0, count: size - 1)
            let last = [UInt8](repeating: 255, count: size)
            #expect(
                try read("u\(size)", one + last) == [
                    1, Float(sign: .plus, exponent: 8 * size, significand: 1) - (size > 3 ? 0 : 1),
                ])
            #expect(try read("i\(size)", one + last) == [1, -1])
        }
    }

    @Test func othersAreRefusedWithAdviceThatKeepsThem() throws {
        let folder = try TemporaryFolder()
        for (descriptor, advice) in [
            ("<U8", "array.astype('<f8'), and names of classes as numpy.unique"), ("|O", "array.astype('<f8')"),
            ("<c8", "numpy.stack([array.real, array.imag], -1)"), ("<f16", "array.astype('<f8')"),
            ("<M8[ns]", "array.astype('<i8')"),
        ] {
            let path = try folder.writeArray("x.npy", descriptor, [1], [UInt8](repeating: 0, count: 32))
            expectInputError("x.npy: has elements of type '\(descriptor)', expected real numbers", advice) {
                try NumPyArray(path: path, accepting: NumPyElement.allCases)
            }
        }
    }

    @Test func dictionaryMayBeWrittenOtherwise() throws {
        let folder = try TemporaryFolder()
        let bytes = file("{\"shape\":(2L,1),'fortran_order':False ,\"descr\":'<f4'}", data: 8)
        #expect(try NumPyArray(path: folder.write("x.npy", bytes)).shape == [2, 1])
    }

    @Test func ranksFillOneFile() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/x.npy"
        _ = try NumPyArray.create(path: path, shape: [3, 2])
        for (first, values) in [(2, [5, 6]), (0, [1, 2, 3, 4])] as [(Int, [Float])] {
            let array = try NumPyArray(path: path)
            try values.withUnsafeBufferPointer { try array.write(rows: first, values: $0) }
        }
        #expect(try NumPyArray(path: path).read(rows: 0..<3) == [1, 2, 3, 4, 5, 6])
        #expect(try folder.read("x.npy").count == 128 + 24)
    }

    @Test func oneAxisAsNumPyWritesIt() {
        #expect(
            NumPyHeader(element: .float32, shape: [5]).text
                == "{'descr': '<f4', 'fortran_order': False, 'shape': (5,), }")
    }

    @Test func refusesOtherFiles() throws {
        let folder = try TemporaryFolder()
        func refused(_ bytes: [UInt8], _ found: String, _ expected: String, at: SourceLocation = #_sourceLocation) {
            expectInputError("x.npy: ", found, expected, sourceLocation: at) {
                try NumPyArray(path: folder.write("x.npy", bytes))
            }
        }
        refused([1, 2, 3], "3 bytes", "expected at least 12")
        refused([UInt8](repeating: 0x50, count: 40), "starts with 50 50", "expected 93 4e 55 4d 50 59")
        refused([0x93] + Array("NUMPY".utf8) + [9, 0, 1, 0, 0, 0], "format 9.0", "expected 1.0, 2.0 or 3.0")
        refused([0x93] + Array("NUMPY".utf8) + [2, 0, 255, 255, 255, 255], "12 bytes", "header of 4294967295")
        refused(Array(float32.dropLast()), "151 bytes", "expected 152 for shape [2, 3]")
        refused(float32 + [0], "153 bytes", "expected 152")
        refused(
            file("{'descr': '<f4', 'fortran_order': True, 'shape': (1,), }", data: 4), "Fortran order",
            "expected C order")
        refused(file("{'descr': '<f4', 'fortran_order': False, 'shape': (), }", data: 4), "single number", "one axis")
        refused(
            file("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 3), }", data: 0), "[0, 3]",
            "holds no "
                + "values")
        let ones = "{'descr': '<f4', 'fortran_order': False, 'shape': (\(String(repeating: "1,", count: 65))), }"
        refused(Self.opening(1, length: [246, 0], ones, size: 246) + [0, 0, 0, 0], "65 axes", "expected at most 64")
        refused(
            file("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", data: 4),
            "[4294967296, 4294967296]", "more than 2^62")
        refused(file("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", data: 4), "header", "descr")
        refused(file("{'descr': '<f4', 'shape': (1,), }", data: 4), "header", "lacks")
        refused(
            file("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", data: 4), "header",
            "not a "
                + "dictionary")
        expectInputError("/none.npy: can't be opened: No such file") { try NumPyArray(path: folder.path + "/none.npy") }
        expectInputError(folder.path, "not a regular file") { try NumPyArray(path: folder.path) }
        expectInputError("/none/x.npy", "No such file") {
            try NumPyArray.create(path: folder.path + "/none/x.npy", shape: [1])
        }
    }
}
