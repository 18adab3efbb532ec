import Collectives
import Foundation

@testable import Datasets

extension Parser {
    /// IDX images, plain or compressed; plain ones are compressed too, and must come to the same.
    static func idx() throws -> Parser {
        let folder = try InputFolder()
        return Parser(seeds: try Seeds.withCompressed(["images": Seeds.idxImages])) { input in
            let path = try folder.write("images-idx3-ubyte", input)
            let plain = Result { try readImages(path) }
            if !input.starts(with: [0x1F, 0x8B]) {
                let compressed = try Seeds.compress(input, to: folder.path + "/images-idx3-ubyte.gz")
                let other = Result { try readImages(compressed) }
                try require((try? plain.get()) == (try? other.get()), "\(plain), and compressed \(other)")
            }
            _ = try plain.get()
        }
    }

    /// Labels beside three IDX images.
    static func idxLabels() throws -> Parser {
        let folder = try InputFolder()
        let images = try folder.write("images-idx3-ubyte", Seeds.idxImages)
        return Parser(seeds: try Seeds.withCompressed(["labels": Seeds.idxLabels])) {
            try folder.write("labels-idx1-ubyte", $0)
            _ = try readImages(images)
        }
    }

    /// Records of CIFAR-10 and of CIFAR-100.
    static func cifar() throws -> Parser {
        let folder = try InputFolder()
        let records = ["ten": Seeds.cifar(labels: [7]), "hundred": Seeds.cifar(labels: [3, 99])]
        return Parser(seeds: try Seeds.withCompressed(records)) { input in
            let (ten, hundred) = (
                try folder.write("data_batch_1.bin", input), try folder.write("train.bin", input)
            )
            try tryBoth({ _ = try readImages(ten) }, { _ = try readImages(hundred) })
        }
    }

    /// STL-10 images.
    static func stl10() throws -> Parser {
        let folder = try InputFolder()
        return Parser(seeds: try Seeds.withCompressed(["images": Seeds.stl10(images: 1)])) {
            _ = try readImages(try folder.write("train_X.bin", $0))
        }
    }

    /// Labels beside three STL-10 images.
    static func stl10Labels() throws -> Parser {
        let folder = try InputFolder()
        let images = try folder.write("train_X.bin", Seeds.stl10(images: 3))
        return Parser(seeds: try Seeds.withCompressed(["labels": [1, 10, 5]])) {
            try folder.write("train_y.bin", $0)
            let source = try ImageSource(path: images, split: .train)
            let labels = try source.load(images: 0..<3).labels
            try require(labels?.allSatisfy { (1...10).contains($0) } == true, "labels \(labels ?? [])")
        }
    }

    /// `.npy` files as images or vectors, and as the arrays of `estimate` and `objective`.
    static func npy() throws -> Parser {
        let folder = try InputFolder()
        return Parser(seeds: Seeds.arrays) { input in
            let path = try folder.write("x.npy", input)
            func readArray() throws {
                let array = try NumPyArray(path: path, accepting: NumPyElement.allCases)
                let values = try array.read(rows: 0..<array.rows)
                try require(values.count == array.shape.reduce(1, *), "\(values.count) values for \(array.shape)")
                try require(try array.read(rows: array.rows..<array.rows).isEmpty, "values of no rows")
            }
            try tryBoth(readArray) { _ = try readImages(path) }
        }
    }

    /// Labels beside three vectors.
    static func npyLabels() throws -> Parser {
        let folder = try InputFolder()
        let images = try folder.write("x.npy", Seeds.array("<f4", [3, 2], [0, 1, 2, 3, 4, 5] as [Float]))
        return Parser(seeds: Seeds.labelArrays) {
            try folder.write("x_labels.npy", $0)
            _ = try readImages(images)
        }
    }

    static func jpeg() throws -> Parser { try imageFile("jpeg") }
    static func png() throws -> Parser { try imageFile("png") }

    /// One image file, decoded in colour as it is and in grey to squares.
    private static func imageFile(_ name: String) throws -> Parser {
        let folder = try InputFolder()
        return Parser(seeds: try Seeds.imageFiles(named: name == "png" ? ".png" : ".jpg")) { input in
            let path = try folder.write("image.png", input)  // its content counts and not its name
            let whole = try ImageDecoder.decode(path, channels: 3, side: 0)
            try require(whole.pixels.count == whole.shape.size, "\(whole.pixels.count) values for \(whole.shape)")
            let size = try ImageDecoder.size(of: path)
            try require(size == (whole.shape.height, whole.shape.width), "\(size) by the header, \(whole.shape)")
            let request = ImageRequest(path: folder.path, imageSize: 8, channels: 1)
            let square = try ImageSource(request, ranks: SingleRank()).load(images: 0..<1)
            try require(square.pixels.count == 64, "\(square.pixels.count) values for 8x8")
        }
    }

    /// The classes of a folder of two images, as in Tiny ImageNet.
    static func annotations() throws -> Parser {
        let folder = try InputFolder()
        for name in ["a.png", "b.png"] { try folder.write(name, try Seeds.imageFile("rgb.png")) }
        let seeds = ["unix": "a.png\tdog\t0\t0\t9\t9\nb.png\tcat\t0\t0\t9\t9\n", "dos": "b.png\tdog\r\na.png\tdog"]
        return Parser(seeds: seeds.mapValues { Array($0.utf8) }) {
            try folder.write("val_annotations.txt", $0)
            let folder = try ImageFolder(folder.path, .train)
            try require(folder?.labels?.count == 2, "labels \(folder?.labels ?? [])")
            try require(folder?.labels?.allSatisfy { $0 < folder?.classes.count ?? 0 } == true, "label without class")
        }
    }
}

/// Reads a whole data set as training does, and makes batches of it, once as it is and once resized. Returns its values
/// and labels.
private func readImages(_ path: String) throws -> [[Float]] {
    try [0, 5].compactMap { imageSize in
        let ranks = SingleRank()
        let source = try ImageSource(path: path, split: .train)
        if imageSize > 0 && source.shape.isVector { return nil }
        let request = ImageRequest(path: path, imageSize: imageSize)
        return try readImages(try ImageSource(request, ranks: ranks), ranks: ranks)
    }
}

private func readImages(_ source: ImageSource, ranks: any Ranks) throws -> [Float] {
    let dataset = try ImageDataset(source, images: 0..<source.count)
    let shape = dataset.shape
    try require(dataset.pixels.count == source.count * shape.size, "\(dataset.pixels.count) values")
    try require(dataset.labels.map { $0.count == source.count } ?? true, "\(dataset.labels?.count ?? 0) labels")
    for label in dataset.labels ?? [] {
        try require(label >= noLabel, "label \(label)")
    }
    let shards = try VirtualShards(imageCount: source.count)
    let normalisation = try ChannelStatistics(of: dataset, in: shards, over: ranks).normalisation
    try normalisation.check(channels: shape.channels)
    let indices = [source.count - 1, 0]
    var batch = [Float](repeating: .nan, count: indices.count * shape.size)
    batch.withUnsafeMutableBufferPointer { buffer in
        guard let target = buffer.baseAddress else { return }
        dataset.fill(target, indices: indices, normalisation: normalisation)
        guard min(shape.height, shape.width) > 1 else { return }
        dataset.fill(
            target, indices: indices, normalisation: normalisation,
            augmentation: Augmentation(padCrop: 1, flip: true), seed: 1, epoch: 0)
    }
    if dataset.holdsBytes { try require(batch.allSatisfy(\.isFinite), "values that are not finite") }
    return batch + (dataset.labels ?? []).map(Float.init)
}
