import Collectives
import Tensors
import Testing

@testable import Datasets

@Suite struct PatchGridTests {
    private func windows(_ text: String, _ height: Int, _ width: Int) throws -> [[Int]] {
        let grid = try PatchGrid(text, option: "--patches")
        let shape = ImageShape(height: height, width: width, channels: 1)
        return (0..<grid.count).map { index in
            let window = grid.window(index, of: shape)
            return [window.top, window.left, window.height, window.width]
        }
    }

    /// Half as large as the image, from edge to edge.
    @Test func windowsAreEvenlySpaced() throws {
        #expect(try windows("1x1", 32, 20) == [[8, 5, 16, 10]])
        #expect(
            try windows("2x3", 8, 9) == [
                [0, 0, 4, 4], [0, 3, 4, 4], [0, 5, 4, 4], [4, 0, 4, 4], [4, 3, 4, 4], [4, 5, 4, 4],
            ])
        #expect(try windows("5x1", 32, 4).map { $0[0] } == [0, 4, 8, 12, 16])
        #expect(try windows("2x2", 1, 1) == Array(repeating: [0, 0, 1, 1], count: 4))
    }

    @Test(arguments: ["5", "0x5", "5x17", "5x5x5", "axb", "", "x"]) func othersAreRefused(text: String) {
        expectInputError("--patches is \(text): it must be rows and columns of 1 to 16 each") {
            _ = try PatchGrid(text, option: "--patches")
        }
    }

    /// Patches of an image that are resized to its size have its pixels at their middles' neighbourhood; of their own size,
    /// exactly its pixels.
    @Test func pixelsAreThoseOfTheImage() throws {
        let shape = ImageShape(height: 8, width: 8, channels: 1)
        let dataset = ImageDataset(bytes: (0..<64).map { UInt8($0) }, shape: shape)
        let grid = try PatchGrid("3x3", option: "--patches")
        let normalisation = Normalisation(mean: [0], deviation: [1])
        for index in 0..<grid.count {
            let window = grid.window(index, of: shape)
            var values = [Float](repeating: .nan, count: 16)
            values.withUnsafeMutableBufferPointer {
                dataset.fill(
                    $0.baseAddress!, indices: [0], normalisation: normalisation, window: window, side: 4)
            }
            let expected = (0..<16).map { Float((window.top + $0 / 4) * 8 + window.left + $0 % 4) / 255 }
            for (a, b) in zip(values, expected) { #expect(abs(a - b) < 1e-6) }
        }
    }
}
