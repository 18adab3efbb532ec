import Collectives
import Datasets
import Evaluation
import Foundation
import Tensors
import Training

extension Program {
    static let embed = Command(
        name: "embed", summary: "Write a run's features of images as a NumPy array, rows in data-set order.",
        usage: "--run DIR --data PATH --output FILE.npy [--layer L] [--split SPLIT]",
        options: [
            Option("run", "DIR", "run directory of train"),
            Option("step", "N|best", "of which checkpoint; the newest by default, best: of the least mean loss"),
            Option("data", "PATH", "images; those of the run by default"),
            Option("split", "train|test|unlabelled", "which part of the data; train by default"),
            TrainedRun.skipBroken,
            Option("layer", "L", "one of \(TrainedRun.layerNames); code by default"),
            Option("output", "FILE.npy", "float32, [images, width]"),
            Option("threads", "T", "threads of each rank"),
        ]
    ) { (arguments: Arguments, ranks: any Ranks) throws -> ExitStatus in
        let (layer, split, output) = try ranks.agree {
            (
                try arguments.choice("layer", default: FeatureLayer.code),
                arguments.has("split") ? try arguments.choice("split", default: Split.train) : nil,
                try outputFile(arguments)
            )
        }
        let run = try TrainedRun(arguments, ranks: ranks)
        var skipped: [String] = []
        let images = try run.images(arguments, split: split, skipped: &skipped, ranks: ranks)
        let values = try ranks.agree {
            let all = try FrozenEncoder(run.model, card: run.card).features(of: images, layers: [layer])
            guard let values = all[layer] else { throw InputError("no features of layer \(layer.rawValue)") }
            return values
        }
        let shape = [images.count, values.shape[1]]
        let temporary = output + ".writing"
        do {
            try ranks.agree {
                if ranks.isFirst { _ = try NumPyArray.create(path: temporary, shape: shape) }
            }
            try ranks.agree {
                try NumPyArray(path: temporary).write(
                    rows: images.images.lowerBound, values: UnsafeBufferPointer(values.elements))
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
            try SkippedFiles(skipped, kept: images.count).report(listing: output + ".skipped.txt", tell: complain)
        }
        if ranks.isFirst { print("\(output): float32 \(shape), layer \(layer.rawValue)") }
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
