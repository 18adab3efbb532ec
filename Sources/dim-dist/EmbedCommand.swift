import Collectives
import Datasets
import Evaluation
import Foundation
import Tensors
import Training

extension Program {
    static let embed = Command(
        name: "embed", summary: "Write a run's features as a NumPy array, rows in data-set order.",
        usage: "--run DIR --data PATH --output FILE.npy [--layer L] [--split SPLIT]",
        options: SavedRun.options + [
            Option("data", "PATH", "samples; those of the run by default"),
            Option("split", "train|test|unlabelled", "which part of the data; train by default"),
            Option("layer", "L", "of the run's method; \(layersHelp)"),
            Option("output", "FILE.npy", "float32, [samples, width]"),
        ]
    ) { (arguments: Arguments, ranks: any Ranks) throws -> ExitStatus in
        let saved = try ranks.agree { try SavedRun(arguments) }
        return try embed(saved.kind.type, saved, arguments, ranks)
    }

    private static func embed<M: Method>(
        _ method: M.Type, _ saved: SavedRun, _ arguments: Arguments, _ ranks: any Ranks
    ) throws -> ExitStatus {
        let (layer, split, output) = try ranks.agree {
            (
                try LayerJoin<M.Layer>.list(arguments.text("layer") ?? M.firstLayer, option: "--layer")[0],
                arguments.has("split") ? try arguments.choice("split", default: Split.train) : nil,
                try outputFile(arguments)
            )
        }
        let run = try TrainedRun<M>(saved, arguments, ranks: ranks)
        let rows = try run.rows(split, ranks: ranks)
        let values = try ranks.agree { try FrozenModel(run.model).features(of: rows, [layer])[0] }
        let samples = rows.samples
        let shape = [samples.count, values.shape[1]]
        let temporary = output + ".writing"
        do {
            try ranks.agree {
                if ranks.isFirst { _ = try NumPyArray.create(path: temporary, shape: shape) }
            }
            try ranks.agree {
                try NumPyArray(path: temporary).write(
                    rows: samples.own.lowerBound, values: UnsafeBufferPointer(values.elements))
            }
            try ranks.agree {  // only a whole array gets its name
                if ranks.isFirst { try moveFile(temporary, to: output) }
            }
        } catch {
            if ranks.isFirst { try? FileManager.default.removeItem(atPath: temporary) }
            throw error
        }
        try ranks.agree {
            guard ranks.isFirst else { return }
            try SkippedFiles(samples.skipped, kept: samples.count).report(
                listing: output + ".skipped.txt", tell: complain)
        }
        if ranks.isFirst { print("\(output): float32 \(shape), layer \(layer.name)") }
        return .success
    }

    /// Refuses, before any work, what no file can be written to.
    private static func outputFile(_ arguments: Arguments) throws -> String {
        let output = try arguments.required("output")
        if FileManager.default.fileExists(atPath: output) { try requireRegularFile(output) }
        let folder = URL(fileURLWithPath: output).deletingLastPathComponent().path
        guard isFolder(folder), FileManager.default.isWritableFile(atPath: folder) else {
            throw InputError("\(output): can't be made: \(folder) is no folder that can be written to")
        }
        return output
    }
}
