import Collectives
import Foundation

/// The files of one split, as found at a path.
enum ImageFiles {
    case idx(images: String, labels: String?)
    case cifar(CIFARReader.Kind, [String])
    case stl10(images: String, labels: String?)
    case numPy(images: String, labels: String?)
    case folder(ImageFolder)

    init(path: String, split: Split) throws {
        guard FileManager.default.fileExists(atPath: path) else {
            throw InputError("\(path): no such file or folder: check --data")
        }
        if isFolder(path) {
            self = try Self.find(folder: path, split)
        } else {
            guard split != .unlabelled else {
                throw InputError(
                    "\(path): is one file, without an unlabelled split: use --set data.split=train")
            }
            self = try Self.single(file: path)
        }
    }

    /// The splits at a path; all samples of data without splits are `train`.
    static func splits(of path: String) throws -> [Split] {
        guard isFolder(path) else { return [.train] }
        for format in ImageFormat.allCases {
            for subfolder in format.subfolders {
                let root = subfolder.isEmpty ? path : join(path, subfolder)
                let splits = Split.allCases.filter { format.names($0).contains { exists(join(root, $0)) } }
                if !splits.isEmpty { return splits }
            }
        }
        guard let splits = try FolderSplits(of: path) else { return [.train] }
        return try Split.allCases.filter { try splits.part($0) != nil }
    }

    var format: ImageFormat {
        switch self {
        case .idx: .idx
        case .cifar(.cifar10, _): .cifar10
        case .cifar(.cifar100, _): .cifar100
        case .stl10: .stl10
        case .numPy: .numPy
        case .folder: .folder
        }
    }

    /// Whether a folder of image files has splits; nil for other formats, whose folders always have.
    var hasSplits: Bool? {
        if case .folder(let folder) = self { folder.hasSplits } else { nil }
    }

    /// A line about the files in the folder that are left out because of its format.
    func notes(in folder: String) throws -> [String] {
        guard isFolder(folder) else { return [] }
        var lines: [String] = []
        if format != .folder, try FolderListing.holdsImages(folder) {
            lines.append(
                "\(folder): left out image files (.jpg, .jpeg, .png), because the folder is read as \(format.rawValue)")
        }
        if format == .numPy {
            let own = Split.allCases.flatMap { ImageFormat.numPy.names($0) }
            let known = Set(own + own.map { $0.replacingOccurrences(of: ".npy", with: "_labels.npy") })
            let names = try FolderListing.names(in: folder).filter { $0.hasSuffix(".npy") }
            let others = names.filter { !known.contains($0) }
            if !others.isEmpty {
                lines.append(
                    "\(folder): left out arrays that are not a split: \(LeftOut.list(others))")
            }
        }
        return lines.map(oneLine)
    }

    func reader(_ request: ImageRequest) throws -> any ImageReader {
        func wanted(_ labels: String?) -> String? { request.isLabelled ? labels : nil }
        return switch self {
        case .idx(let images, let labels): try IDXReader(images: images, labels: wanted(labels))
        case .cifar(let kind, let paths): try CIFARReader(paths: paths, kind: kind)
        case .stl10(let images, let labels): try STL10Reader(images: images, labels: wanted(labels))
        case .numPy(let images, let labels):
            try NumPyReader(images: images, labels: labels, request)
        case .folder(let folder): try ImageFolderReader(folder, request)
        }
    }

    // MARK: - A folder

    private static func find(folder: String, _ split: Split) throws -> ImageFiles {
        var found: [(format: ImageFormat, folder: String)] = []
        for format in ImageFormat.allCases {
            let names = Split.allCases.flatMap { format.names($0) }
            for subfolder in format.subfolders {
                let root = subfolder.isEmpty ? folder : join(folder, subfolder)
                if names.contains(where: { exists(join(root, $0)) }) { found.append((format, root)) }
            }
        }
        guard let first = found.first else {
            if let images = try ImageFolder(folder, split) { return .folder(images) }
            let looked = ImageFormat.allCases.map(\.description).joined(separator: ", ")
            let endings = try ImageTree(folder).leftOut.endingCounts
            throw InputError(
                "\(folder): no images found; searched for \(looked); found \(contents(folder))"
                    + (endings.isEmpty ? "" : "; files in all folders: \(endings)"))
        }
        guard found.count == 1 else {
            let all = found.map { "\($0.format.rawValue) in \($0.folder)" }.joined(separator: ", ")
            throw InputError("\(folder): holds several data sets (\(all)): give the folder or file of one by --data")
        }
        let (format, root) = first
        let names = format.names(split)
        guard !names.isEmpty else {
            throw InputError("\(folder): \(format.rawValue) has no \(split.rawValue) split: use --set data.split=train")
        }
        switch format {
        case .idx:
            let labels = idxNames("labels-idx1-ubyte", split).map { join(root, $0) }
            return .idx(images: try need(names, in: root), labels: labels.first(where: exists))
        case .cifar10: return .cifar(.cifar10, try names.map { try need([$0], in: root) })
        case .cifar100: return .cifar(.cifar100, try names.map { try need([$0], in: root) })
        case .stl10: return stl10(try need(names, in: root))
        case .numPy, .folder: return numPy(try need(names, in: root))
        }
    }

    /// The path of the first of these names that exists.
    private static func need(_ names: [String], in folder: String) throws -> String {
        let paths = names.map { join(folder, $0) }
        guard let path = paths.first(where: exists) else {
            let others = names.dropFirst().map { ", or as \($0)" }.joined()
            throw InputError("\(paths[0]): is missing\(others); found \(contents(folder))")
        }
        return path
    }

    // MARK: - One file

    /// Recognised by the first bytes, or by name or size where those are pixels.
    private static func single(file: String) throws -> ImageFiles {
        let name = URL(fileURLWithPath: file).lastPathComponent
        let size = try fileSize(file)
        var opening = [UInt8](repeating: 0, count: min(size, 8))
        let handle = try SystemFile(file, .read)
        try opening.withUnsafeMutableBytes { try handle.read(into: $0, at: 0) }
        if opening.starts(with: NumPyArray.magic) { return numPy(file) }
        if name.hasSuffix(".bin") { return try binary(file: file, name: name, size: size) }
        if ImageDecoder.isImage(opening) {
            throw InputError("\(file): is one image, expected a folder of images: give its folder by --data")
        }
        // IDX begins with two zeros, gzip with 1f 8b.
        if size >= 4, !opening.starts(with: [0, 0]), !opening.starts(with: [0x1F, 0x8B]) {
            throw InputError(
                "\(file): starts with \(hexadecimal(opening.prefix(4))), expected IDX (00 00 08 03, or gzip), .npy "
                    + "(93 4e 55 4d), CIFAR or STL-10 (.bin), or a folder")
        }
        return .idx(images: file, labels: labelsBeside(file))
    }

    private static func binary(file: String, name: String, size: Int) throws -> ImageFiles {
        if name.hasSuffix("_X.bin") { return stl10(file) }
        for split in Split.allCases {
            if ImageFormat.cifar10.names(split).contains(name) { return .cifar(.cifar10, [file]) }
            if ImageFormat.cifar100.names(split).contains(name) { return .cifar(.cifar100, [file]) }
        }
        switch (size % CIFARReader.Kind.cifar10.record, size % CIFARReader.Kind.cifar100.record) {
        case (0, 1...): return .cifar(.cifar10, [file])
        case (1..., 0): return .cifar(.cifar100, [file])
        default:
            throw InputError(
                "\(file): has \(size) bytes, expected a multiple of either "
                    + "\(CIFARReader.Kind.cifar10.record) (CIFAR-10) "
                    + "or \(CIFARReader.Kind.cifar100.record) (CIFAR-100); names as in the original archives also say "
                    + "which, such as train_X.bin for STL-10")
        }
    }

    // MARK: - Labels beside images

    /// `train_X.bin` has `train_y.bin`, if any.
    private static func stl10(_ images: String) -> ImageFiles {
        let labels = images.dropLast("X.bin".count) + "y.bin"
        return .stl10(images: images, labels: exists(String(labels)) ? String(labels) : nil)
    }

    /// `x.npy` has `x_labels.npy`, if any.
    private static func numPy(_ images: String) -> ImageFiles {
        let labels = (images.hasSuffix(".npy") ? String(images.dropLast(4)) : images) + "_labels.npy"
        return .numPy(images: images, labels: exists(labels) ? labels : nil)
    }

    /// The labels file that belongs to an IDX images file by its name, compressed or not.
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

    /// The first few names in a folder, for a message.
    private static func contents(_ folder: String) -> String {
        guard let names = try? FolderListing.names(in: folder) else { return "a folder that can't be listed" }
        guard !names.isEmpty else { return "nothing" }
        let more = names.count > 6 ? " and \(names.count - 6) more" : ""
        return names.prefix(6).joined(separator: ", ") + more
    }
}
