import Collectives
import Datasets
import Evaluation
import Foundation
import Tensors
import Training

extension Program {
    /// Of commands that compute features.
    static let patchesOption = Option(
        "patches", "RxC",
        "average features over patches of each image, in R rows and C columns, each half as high and wide as the image "
            + "and resized as the smallest views of training")

    static let embed = Command(
        name: "embed", summary: "Write a run's features as NumPy arrays, with rows in the order of the data.",
        usage: "--run DIR --data PATH --output FILE.npy|FILE.npz [--layer L] [--split SPLIT] [--patches RxC]",
        options: SavedRun.options + [
            Option("data", "PATH", "samples to embed; those of the run by default"),
            Option("split", "train|test|unlabelled", "split of the data; train by default"),
            Option("layer", "L,…", "layers whose features are written; \(layersHelp)"),
            patchesOption,
            Option(
                "output", "FILE",
                "FILE.npy: the features, float32 [samples, width]; FILE.npz: features, labels, classes and ids"),
        ],
        notes: """
            A .npz file has these arrays:
              features  float32 [samples, width]. With several layers, there is an array for each, named as the layer.
              labels    int32, where the data have labels; numbers as in the data, -1 for a sample without one.
              classes   names of classes, for image folders, also packed ones.
              ids       file names below --data, or numbers from 0 for data that aren't files.
            """
    ) { (arguments: Arguments, ranks: any Ranks) throws -> ExitStatus in
        let saved = try ranks.agree { try SavedRun(arguments) }
        return try embed(saved.kind.type, saved, arguments, ranks)
    }

    private static func embed<M: Method>(
        _ method: M.Type, _ saved: SavedRun, _ arguments: Arguments, _ ranks: any Ranks
    ) throws -> ExitStatus {
        let (layers, split, patches, output) = try ranks.agree {
            let layers = try LayerJoin<M.Layer>.list(arguments.text("layer") ?? M.firstLayer, option: "--layer")
            return (
                layers, arguments.has("split") ? try arguments.choice("split", default: Split.train) : nil,
                try arguments.text("patches").map { try PatchGrid($0, option: "--patches") },
                try FeatureFile(arguments.required("output"), layers: layers.map(\.name))
            )
        }
        let run = try TrainedRun<M>(saved, arguments, ranks: ranks)
        try ranks.agree { try output.check(isNoFileOf: run.configuration.data.path) }
        let rows = try run.rows(split, isLabelled: output.isArchive, patches: patches, ranks: ranks)
        let features = try ranks.agree { try FrozenModel(run.model).features(of: rows, layers) }
        try output.write(features, rows.samples, ranks: ranks)
        try ranks.agree {
            guard ranks.isFirst else { return }
            for note in run.notes(on: [rows.samples]) { complain(note) }
            SkippedFiles(rows.samples.skipped, kept: rows.samples.count).report(
                listing: output.path + ".skipped.txt", tell: complain)
        }
        try tell(by: ranks) {
            let lines = zip(layers, features).map { layer, values in
                "\(output.path): float32 [\(rows.samples.count), \(values.shape[1])], layer \(layer.name)"
            }
            return lines.joined(separator: "\n")
        }
        return .success
    }
}

/// The file that `embed` writes, complete or not at all: one array, or an archive.
private struct FeatureFile {
    let path: String
    /// Whether it is an archive, which has labels beside the features.
    let isArchive: Bool
    /// Names of the arrays of features.
    private let names: [String]

    /// Refuses, before any work, a path that can't be written.
    /// - Parameter layers: names of the layers to write.
    init(_ path: String, layers: [String]) throws {
        self.path = path
        isArchive = path.hasSuffix(".npz")
        if FileManager.default.fileExists(atPath: path) { try requireRegularFile(path) }
        guard isArchive || path.hasSuffix(".npy") else {
            throw InputError("--output is \(path): its name must end in .npy (one array) or .npz (an archive)")
        }
        guard isArchive || layers.count == 1 else {
            throw InputError(
                "--layer lists \(layers.count) layers, but a .npy file holds one array: join layers with +, or write "
                    + "a .npz file")
        }
        names = layers.count == 1 ? ["features"] : layers
        let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
        guard isFolder(folder), FileManager.default.isWritableFile(atPath: folder) else {
            throw InputError("\(path) can't be written: \(folder) is not a folder where you may write")
        }
    }

    /// - Throws: `InputError` where writing the file would replace the data, or an array in their folder.
    func check(isNoFileOf data: String) throws {
        guard FileManager.default.fileExists(atPath: path) else { return }
        let file = URL(fileURLWithPath: path).resolvingSymlinksInPath()
        let root = URL(fileURLWithPath: data).resolvingSymlinksInPath().path
        guard file.path != root && (isArchive || file.deletingLastPathComponent().path != root) else {
            throw InputError(
                "--output is \(path), which is a file of the data \(data) and would be replaced: choose another name")
        }
    }

    /// Each rank writes its rows at their position in a temporary file. Then rank 0 makes the output file. Collective.
    /// - Parameter features: this rank's features, [own, width] for each layer.
    func write(_ features: [Tensor], _ samples: EvaluationSamples, ranks: any Ranks) throws {
        let temporary = features.indices.map { "\(path).writing" + ($0 == 0 ? "" : "-\($0)") }
        defer { if ranks.isFirst { for file in temporary { try? FileManager.default.removeItem(atPath: file) } } }
        for (file, values) in zip(temporary, features) {
            try ranks.agree {
                if ranks.isFirst { _ = try NumPyArray.create(path: file, shape: [samples.count, values.shape[1]]) }
            }
            try ranks.agree {
                try NumPyArray(path: file).write(
                    rows: samples.own.lowerBound, values: UnsafeBufferPointer(values.elements))
            }
        }
        let labels = isArchive ? try allLabels(samples, ranks: ranks) : nil
        try ranks.agree {  // only a complete file gets its name
            guard ranks.isFirst else { return }
            guard isArchive else { return try moveFile(temporary[0], to: path) }
            var entries: [(name: String, content: NumPyArchive.Content)] = zip(names, temporary).map {
                ($0, .file($1))
            }
            if let labels { entries.append(("labels", .array(.int32(labels)))) }
            if let classes = samples.classNames { entries.append(("classes", .array(.text(classes)))) }
            let all = 0..<samples.count
            entries.append(("ids", .array(try samples.names(all).map { .text($0) } ?? .int64(Array(all)))))
            try NumPyArchive.write(path: path, entries)
        }
    }

    /// The labels of all ranks' samples, as in the data; nil where there are none. Collective.
    private func allLabels(_ samples: EvaluationSamples, ranks: any Ranks) throws -> [Int32]? {
        guard let labels = samples.labels else { return nil }
        return try ranks.gather(labels, filler: 0)
    }
}
