import Foundation

/// Made-up grey images of 28x28 in the files of MNIST: class c is noise around a level of its own.
struct TestImages {
    var labels: [UInt8]
    var pixels: [[UInt8]]

    /// - Parameter seed: of the noise.
    init(count: Int, seed: UInt32) {
        labels = (0..<count).map { UInt8(($0 * 7 + $0 / 5) % 4) }
        var state = seed
        pixels = labels.map { label in
            (0..<28 * 28).map { _ in
                state = state &* 1_664_525 &+ 1_013_904_223  // the generator of Numerical Recipes
                return UInt8(40 * UInt32(label) + (state >> 24) * 100 / 256)
            }
        }
    }

    var count: Int { labels.count }

    var imagesFile: Data { Self.header(2051, [count, 28, 28]) + Data(pixels.joined()) }
    var labelsFile: Data { Self.header(2049, [count]) + Data(labels) }

    /// The image that was at `start` comes first, those before it last.
    func rotated(by start: Int) -> TestImages {
        var result = self
        result.labels = Array(labels[start...] + labels[..<start])
        result.pixels = Array(pixels[start...] + pixels[..<start])
        return result
    }

    /// Writes one split into a folder.
    func write(to folder: String, split: String) throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try imagesFile.write(to: URL(fileURLWithPath: "\(folder)/\(split)-images-idx3-ubyte"))
        try labelsFile.write(to: URL(fileURLWithPath: "\(folder)/\(split)-labels-idx1-ubyte"))
    }

    private static func header(_ magic: Int, _ axes: [Int]) -> Data {
        Data(([magic] + axes).flatMap { number in (0..<4).map { UInt8(truncatingIfNeeded: number >> (24 - 8 * $0)) } })
    }
}

extension CommandTestCase {
    /// 96 training and 40 test images in the folder `data`.
    func writeData() throws {
        try TestImages(count: 96, seed: 1).write(to: path("data"), split: "train")
        try TestImages(count: 40, seed: 2).write(to: path("data"), split: "t10k")
    }
}
