import Collectives
import Foundation

/// Image file formats that we read.
package enum ImageFormat: String, Codable, CaseIterable, Sendable {
    case idx
    case cifar10
    case cifar100

    /// Files that hold a split's images. A file of IDX goes by any of several names, `idxNames` has them.
    fileprivate func names(_ split: Split) -> [String] {
        switch (self, split) {
        case (.idx, _): idxNames("images-idx3-ubyte", split)
        case (.cifar10, .train): (1...5).map { "data_batch_\($0).bin" }
        case (.cifar10, .test): ["test_batch.bin"]
        case (.cifar100, _): ["\(split.rawValue).bin"]
        }
    }

    /// Folders in which its archive unpacks, looked into beside the given one.
    fileprivate var subfolders: [String] {
        switch self {
        case .idx: [""]
        case .cifar10: ["", "cifar-10-batches-bin"]
        case .cifar100: ["", "cifar-100-binary"]
        }
    }

    fileprivate var description: String {
        switch self {
        case .idx: "IDX (train-images-idx3-ubyte[.gz])"
        case .cifar10: "CIFAR-10 (data_batch_1.bin, also in cifar-10-batches-bin/)"
        case .cifar100: "CIFAR-100 (train.bin, also in cifar-100-binary/)"
        }
    }
}

/// The names under which a split's IDX file is found, the preferred one first.
private func idxNames(_ ending: String, _ split: Split) -> [String] {
    let stem = split == .train ? "train" : "t10k"
    let dotted = ending.replacingOccurrences(of: "-idx", with: ".idx")
    return [ending, dotted].flatMap { ["\(stem)-\($0)", "\(stem)-\($0).gz"] }
}

/// False where nothing bears that name.
func isFolder(_ path: String) -> Bool {
    var isFolder: ObjCBool = false
    return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && isFolder.boolValue
}

/// The files that make up one split, as found under a path.
enum ImageFiles {
    case idx(images: String, labels: String?)
    case cifar10([String])
    case cifar100([String])

    init(path: String, split: Split) throws {
        guard FileManager.default.fileExists(atPath: path) else {
            throw InputError("\(path): no such file or folder, expected images; check --data")
        }
        self = try isFolder(path) ? Self.find(folder: path, split) : Self.single(file: path)
    }

    private static func find(folder: String, _ split: Split) throws -> ImageFiles {
        var found: [(format: ImageFormat, folder: String)] = []
        for format in ImageFormat.allCases {
            let names = Split.allCases.flatMap { format.names($0) }
            for subfolder in format.subfolders {
                let place = subfolder.isEmpty ? folder : join(folder, subfolder)
                if names.contains(where: { exists(join(place, $0)) }) { found.append((format, place)) }
            }
        }
        guard let first = found.first else {
            let looked = ImageFormat.allCases.map(\.description).joined(separator: ", ")
            throw InputError("\(folder): no images found; looked for \(looked); found \(contents(folder))")
        }
        guard found.count == 1 else {
            let all = found.map { "\($0.format.rawValue) in \($0.folder)" }.joined(separator: ", ")
            throw InputError("\(folder): holds several data sets (\(all)), expected one; name its folder or file")
        }
        switch first.format {
        case .idx:
            let images = try need(first.format.names(split), in: first.folder)
            let labels = idxNames("labels-idx1-ubyte", split).map { join(first.folder, $0) }
            return .idx(images: images, labels: labels.first(where: exists))
        case .cifar10:
            return .cifar10(try first.format.names(split).map { try need([$0], in: first.folder) })
        case .cifar100:
            return .cifar100(try first.format.names(split).map { try need([$0], in: first.folder) })
        }
    }

    /// The first of these names that is there.
    private static func need(_ names: [String], in folder: String) throws -> String {
        let paths = names.map { join(folder, $0) }
        guard let path = paths.first(where: exists) else {
            let others = names.dropFirst().map { ", or as \($0)" }.joined()
            throw InputError("\(paths[0]): is missing\(others); found \(contents(folder))")
        }
        return path
    }

    private static func single(file: String) throws -> ImageFiles {
        let name = URL(fileURLWithPath: file).lastPathComponent
        if !name.hasSuffix(".bin") { return .idx(images: file, labels: labelsBeside(file)) }
        for split in Split.allCases {
            if ImageFormat.cifar10.names(split).contains(name) { return .cifar10([file]) }
            if ImageFormat.cifar100.names(split).contains(name) { return .cifar100([file]) }
        }
        let size = try fileSize(file)
        switch (size % CIFARReader.Kind.cifar10.record, size % CIFARReader.Kind.cifar100.record) {
        case (0, 1...): return .cifar10([file])
        case (1..., 0): return .cifar100([file])
        default:
            throw InputError(
                "\(file): \(size) bytes, expected a multiple of either \(CIFARReader.Kind.cifar10.record) (CIFAR-10) "
                    + "or \(CIFARReader.Kind.cifar100.record) (CIFAR-100); the names of the archives also tell which")
        }
    }

    /// The labels file that goes by the name of an IDX images file, compressed or not.
    private static func labelsBeside(_ images: String) -> String? {
        let url = URL(fileURLWithPath: images)
        let plain = url.pathExtension == "gz" ? url.deletingPathExtension() : url
        let name = plain.lastPathComponent.replacingOccurrences(of: "images", with: "labels")
            .replacingOccurrences(of: "idx3", with: "idx1")
        guard name != plain.lastPathComponent else { return nil }
        let path = plain.deletingLastPathComponent().appendingPathComponent(name).path
        return [path, path + ".gz"].first(where: exists)
    }

    private static func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }

    private static func join(_ folder: String, _ name: String) -> String {
        folder.hasSuffix("/") ? folder + name : folder + "/" + name
    }

    /// The first few names in a folder, for a message.
    private static func contents(_ folder: String) -> String {
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: folder).sorted() else {
            return "a folder that can't be listed"
        }
        guard !names.isEmpty else { return "nothing" }
        let more = names.count > 6 ? " and \(names.count - 6) more" : ""
        return names.prefix(6).joined(separator: ", ") + more
    }
}
