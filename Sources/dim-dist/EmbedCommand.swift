import Collectives
import Data
import Evaluation
import Tensors
import Training

extension Program {
    static let embed = Command(
        name: "embed", summary: "Write a run's features of images as a NumPy array, rows in data-set order.",
        usage: "--run DIR --data PATH --output FILE.npy [--layer L] [--split SPLIT]",
        options: [
            Option("run", "DIR", "run directory of train"),
            Option("step", "N", "of which checkpoint; the newest by default"),
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
                try arguments.required("output")
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
        try ranks.agree {
            if ranks.isFirst { _ = try NumPyArray.create(path: output + ".writing", shape: shape) }
        }
        try ranks.agree {
            try NumPyArray(path: output + ".writing").write(
                rows: images.images.lowerBound, values: UnsafeBufferPointer(values.elements))
        }
        try ranks.agree {  // only a whole array gets its name
            guard ranks.isFirst else { return }
            try moveFile(output + ".writing", to: output)
            try SkippedFiles(skipped, kept: images.count).report(listing: output + ".skipped.txt", tell: complain)
        }
        if ranks.isFirst { print("\(output): float32 \(shape), layer \(layer.rawValue)") }
        return .success
    }
}
