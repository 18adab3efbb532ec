import Collectives
import Datasets
import Evaluation
import Foundation
import Tensors
import Training

/// A line of `metrics.jsonl` about frozen features.
private struct EvaluationLine: Encodable {
    let step: Int
    let score: Score

    private enum CodingKeys: String, CodingKey {
        case step, eval, value, deviation, seeds, notes
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(step, forKey: .step)
        try container.encode(score.name, forKey: .eval)
        try container.encode(score.value, forKey: .value)  // null, not left out
        try container.encodeIfPresent(score.deviation, forKey: .deviation)
        try container.encode(score.seeds, forKey: .seeds)
        if !score.notes.isEmpty { try container.encode(score.notes, forKey: .notes) }
    }
}

extension Program {
    static let eval = Command(
        name: "eval", summary: "Tell what a run's frozen features are worth, beside controls.",
        usage: "--run DIR [--data PATH] [--layer L,…] [--probe P,…] [--seeds K]",
        options: [
            Option("run", "DIR", "run directory of train"),
            Option("step", "N|best", "of which checkpoint; the newest by default, best: of the least mean loss"),
            Option("data", "PATH", "images with a train and a test split, labelled; those of the run by default"),
            Option("layer", "L,…", "features, of \(TrainedRun.layerNames); code by default"),
            Option(
                "probe", "P,…",
                "linear (logistic regression), svm, knn (cosine), mlp, reconstruction (by a decoder, MS-SSIM), "
                    + "ndm (neural dependency measure, nats), mine (information on the image, nats); linear,knn by default"
            ),
            Option(
                "seeds", "K",
                "repeat with K seeds, for mean ± standard deviation: probes, and the untrained encoder, of which there "
                    + "are K; the trained one is the same throughout"),
            TrainedRun.skipBroken,
            Option("decoder-steps", "N", "batches of 64 images that each decoder is trained on; 1000 by default"),
            Option("without-controls", "leave out the untrained encoder, raw pixels and PCA-64"),
            Option("threads", "T", "threads of each rank"),
        ]
    ) { (arguments: Arguments, ranks: any Ranks) throws -> ExitStatus in
        var reconstruction = Reconstruction()
        let (layers, probes, seedCount) = try ranks.agree {
            reconstruction.steps = try arguments.number(
                "decoder-steps", in: 1...10_000_000, default: reconstruction.steps)
            return (
                try arguments.choices("layer", default: [FeatureLayer.code]),
                try arguments.choices("probe", default: [Probe.linear, .knn]),
                try arguments.number("seeds", in: 1...1000, default: 1)
            )
        }
        let run = try TrainedRun(arguments, ranks: ranks)
        let seeds = (0..<seedCount).map { run.configuration.seed &+ UInt64($0) }
        var skipped: [String] = []
        let train = try run.images(arguments, split: .train, skipped: &skipped, ranks: ranks)
        let test = try run.images(arguments, split: .test, skipped: &skipped, ranks: ranks)
        try ranks.agree {
            guard ranks.isFirst else { return }
            try SkippedFiles(skipped, kept: train.count + test.count).report(
                listing: arguments.required("run") + "/evaluation-skipped.txt", tell: complain)
        }
        let directory = try ranks.agree { try arguments.required("run") }
        let judge = try FeatureJudge(
            probes: probes, seeds: seeds, reconstruction: reconstruction, train: train, test: test, ranks: ranks,
            device: run.device
        ) { score in
            // Opened anew each time: the run may be training on.
            let journal = try Journal(run: directory, from: nil)
            try journal.note(EvaluationLine(step: run.step, score: score))
            if let problem = journal.problem { complain("\(problem); the score is below, and not in it") }
        }
        try run.judge(run.model, "trained", layers, seeds: seeds, by: judge)
        if !arguments.has("without-controls") {
            for seed in seeds {
                let model = try ranks.agree { try run.untrained(seed: seed) }
                try run.judge(model, "untrained", layers, seeds: [seed], isLast: seed == seeds.last, by: judge)
            }
            try run.judgeWithoutEncoder(seeds: seeds, by: judge)
        }
        try ranks.agree {
            guard ranks.isFirst else { return }
            var notes = judge.table.legend
            notes.append(
                "step \(run.step) of \(directory), \(judge.train.count) training and \(judge.test.count) test images")
            if seeds.count > 1 {
                notes.append("mean ± standard deviation of \(seeds.count) seeds, one trained encoder")
            }
            if probes.contains(.reconstruction) {
                notes.append(try reconstruction.description(of: judge.train.shape))
            }
            let report = "\(judge.table)\n\n\(notes.joined(separator: "\n"))"
            try (report + "\n").write(toFile: directory + "/evaluation.txt", atomically: true, encoding: .utf8)
            print(report)
        }
        return .success
    }
}

extension TrainedRun {
    /// Components of the control by principal components.
    private static let componentCount = 64

    /// Fills a row for each layer of an encoder. Collective.
    /// - Parameter isLast: no more encoders come for these rows.
    fileprivate func judge(
        _ model: Model, _ name: String, _ layers: [FeatureLayer], seeds: [UInt64], isLast: Bool = true,
        by judge: FeatureJudge
    ) throws {
        let encoder = FrozenEncoder(model, card: card)
        var (train, test) = try judge.ranks.agree {
            (
                try encoder.features(of: judge.train, layers: layers),
                try encoder.features(of: judge.test, layers: layers)
            )
        }
        for layer in layers {
            // Out of the dictionaries: the memory of one layer is free for the next.
            guard let trainValues = train.removeValue(forKey: layer), let testValues = test.removeValue(forKey: layer)
            else { continue }
            let row = "\(name) \(layer.rawValue)"
            try judge.judge(row, seeds: seeds) { try judge.features(trainValues, testValues) }
            if isLast { try judge.complete(row) }
        }
    }

    /// Fills the rows of raw pixels and of their principal components. Collective.
    fileprivate func judgeWithoutEncoder(seeds: [UInt64], by judge: FeatureJudge) throws {
        func raw() throws -> (train: Features, test: Features) {
            try judge.features(pixels(of: judge.train), pixels(of: judge.test))
        }
        try judge.judge("raw pixels", seeds: seeds, raw)
        try judge.complete("raw pixels")
        let outcome = try judge.attempt {
            let raw = try raw()
            let components = try PrincipalComponents(
                of: raw.train, count: Self.componentCount, ranks: judge.ranks, device: device)
            return (
                components: components, train: try components.transform(raw.train, device: device),
                test: try components.transform(raw.test, device: device)
            )
        }
        let found = try? outcome.get()
        let name = "PCA-\(found?.test.dimension ?? Self.componentCount)"
        try judge.judge(name, seeds: seeds) {
            let found = try outcome.get()
            return (found.train, found.test)
        }
        try judge.complete(name)
        guard judge.probes.contains(.reconstruction), let (components, _, test) = found else { return }
        // What the components' own inverse makes, without a decoder; and what one picture does for all.
        let nothing = device.tensor(test.values.shape, filledWith: 0)
        for (name, coordinates) in [("\(name), inverse", test.values), ("mean image", nothing)] {
            try judge.add(name, .reconstruction) { _ in
                let similarity = try Reconstruction.similarity(to: test, ranks: judge.ranks, device: device) { rows in
                    let block = coordinates.view(
                        from: rows.lowerBound * test.dimension, shape: [rows.count, test.dimension])
                    return try centred(components.inverse(block, device: device))
                }
                return Finding(value: similarity)
            }
            try judge.complete(name)
        }
    }

    /// Normalised pixels as values in -1...1, in place; what lies outside is set to the nearest.
    private func centred(_ pixels: Tensor) -> Tensor {
        let (mean, deviation) = (card.normalisation.mean, card.normalisation.deviation)
        for (i, value) in pixels.elements.enumerated() {
            let channel = i % card.channels
            pixels.base[i] = max(-1, min(1, 2 * (value * deviation[channel] + mean[channel]) - 1))
        }
        return pixels
    }

    /// Normalised pixels of the images that this rank holds, [held, height·width·channels].
    private func pixels(of dataset: ImageDataset) -> Tensor {
        let result = device.tensor([dataset.images.count, dataset.shape.size])
        dataset.fill(result.base, indices: Array(dataset.images), normalisation: card.normalisation)
        return result
    }
}
