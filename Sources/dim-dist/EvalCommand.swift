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

/// Keeps the scores of `eval` in the run directory, if that can be written. For rank 0.
private final class ScoreKeeper {
    private let run: String
    /// The problem that was reported last.
    private var problem: String?

    init(run: String) { self.run = run }

    /// Appends a line to `metrics.jsonl`. The file is opened anew each time, because the run may still train.
    func keep(_ line: EvaluationLine) throws {
        do {
            let journal = try Journal(run: run, from: nil)
            try journal.note(line)
            complain(journal.problem)
        } catch let error as FileError {
            complain("\(error)")
        }
    }

    /// Writes `evaluation.txt`.
    func keep(report: String) {
        do {
            try (report + "\n").write(toFile: run + "/evaluation.txt", atomically: true, encoding: .utf8)
        } catch {
            Program.complain("can't write \(run)/evaluation.txt, so the table is only printed: \(error)")
        }
    }

    private func complain(_ text: String?) {
        defer { problem = text }
        if let text, text != problem { Program.complain("\(text); scores are printed but not kept there") }
    }
}

/// The request of an `eval` command, the same for every method.
private struct EvaluationRequest {
    let probes: [Probe]
    /// Probes of labels also run with only so many of them.
    let labelCounts: [LabelCount]
    /// Number of seeds; nil where none was asked for.
    let seeds: Int?
    let reconstruction: Reconstruction
    /// Patches of images, whose features are averaged.
    let patches: PatchGrid?

    /// Draws of few labels where no number of seeds was asked for.
    private static let draws = 5

    init(_ arguments: Arguments) throws {
        probes = try arguments.choices("probe", default: [Probe.linear, .knn])
        labelCounts = try arguments.text("labels").map { try LabelCount.list($0, option: "--labels") } ?? []
        if !labelCounts.isEmpty && !probes.contains(where: { $0.measure == .accuracy }) {
            let names = Probe.allCases.filter { $0.measure == .accuracy }.map(\.rawValue).joined(separator: ", ")
            throw InputError("--labels needs a probe that uses labels: add one of \(names) to --probe")
        }
        seeds = arguments.has("seeds") ? try arguments.number("seeds", in: 1...1000, default: 1) : nil
        var reconstruction = Reconstruction()
        reconstruction.steps = try arguments.number(
            "decoder-steps", in: 1...10_000_000, default: reconstruction.steps)
        self.reconstruction = reconstruction
        patches = try arguments.text("patches").map { try PatchGrid($0, option: "--patches") }
    }

    /// Seeds from this one on.
    func seeds(from first: UInt64) -> ProbeSeeds {
        func list(_ count: Int) -> [UInt64] { (0..<count).map { first &+ UInt64($0) } }
        return ProbeSeeds(whole: list(seeds ?? 1), draws: list(seeds ?? Self.draws))
    }
}

extension Program {
    static let eval = Command(
        name: "eval", summary: "Score a run's frozen features by probes, beside controls.",
        usage: "--run DIR [--data PATH] [--layer L,…] [--probe P,…] [--labels N,…] [--patches RxC] [--seeds K]",
        options: SavedRun.options + [
            Option("data", "PATH", "samples with labels, a train split and a test split; those of the run by default"),
            Option("layer", "L,…", "layers whose features are scored; \(layersHelp)"),
            Option(
                "probe", "P,…",
                "linear (logistic regression), svm, knn (cosine), mlp (one hidden layer), mlpPublished (the same with "
                    + "its published rate), reconstruction (by a decoder, MS-SSIM), ndm (neural dependency measure, "
                    + "nats), mine (information about the image, nats); linear,knn by default"
            ),
            Option(
                "labels", "N,…",
                "also run the probes of labels with few labels: 10 for ten of each class, 1% for a hundredth of each; "
                    + "each is a column, such as linear@10, of mean ± standard deviation over 5 draws, or K"),
            Option(
                "seeds", "K",
                "repeat probes with K seeds, for mean ± standard deviation; there are K untrained encoders, but one "
                    + "trained encoder; 1 by default"),
            Program.patchesOption,
            Option("decoder-steps", "N", "training steps of each decoder, of 64 images each; 1000 by default"),
            Option("without-controls", "leave out the untrained encoder, raw pixels and PCA-64"),
        ]
    ) { (arguments: Arguments, ranks: any Ranks) throws -> ExitStatus in
        signal(SIGPIPE, SIG_IGN)  // the reader of the output may close it
        let (request, saved) = try ranks.agree { (try EvaluationRequest(arguments), try SavedRun(arguments)) }
        return try evaluate(saved.kind.type, saved, request, arguments, ranks)
    }

    private static func evaluate<M: Method>(
        _ method: M.Type, _ saved: SavedRun, _ request: EvaluationRequest, _ arguments: Arguments, _ ranks: any Ranks
    ) throws -> ExitStatus {
        let (probes, reconstruction) = (request.probes, request.reconstruction)
        let layers = try ranks.agree {
            try LayerJoin<M.Layer>.list(arguments.text("layer") ?? M.firstLayer, option: "--layer")
        }
        let run = try TrainedRun<M>(saved, arguments, ranks: ranks)
        let seeds = request.seeds(from: run.configuration.seed)
        let isLabelled = probes.contains { $0.measure == .accuracy }
        let train = try run.rows(.train, isLabelled: isLabelled, patches: request.patches, ranks: ranks)
        let test = try run.rows(.test, isLabelled: isLabelled, patches: request.patches, ranks: ranks)
        try ranks.agree {
            guard ranks.isFirst else { return }
            for note in run.notes(on: [train.samples, test.samples]) { complain(note) }
            let kept = train.samples.count + test.samples.count
            SkippedFiles(train.samples.skipped + test.samples.skipped, kept: kept).report(
                listing: saved.directory + "/evaluation-skipped.txt", tell: complain)
        }
        let keeper = ScoreKeeper(run: saved.directory)
        let judge = try FeatureJudge(
            probes: probes, labelCounts: request.labelCounts, seeds: seeds, reconstruction: reconstruction,
            train: train.samples, test: test.samples, ranks: ranks, device: run.device
        ) { score in
            try keeper.keep(EvaluationLine(step: run.step, score: score))
        }
        let rows = JudgedRows<M>(train: train, test: test, layers: layers, judge: judge)
        try rows.judge(run.model, "trained", seeds: seeds, isLast: true)
        if !arguments.has("without-controls") {
            for seed in seeds.whole {
                let model = try ranks.agree { try run.untrained(seed: seed) }
                try model.estimateStatistics(on: train, batch: run.configuration.batch, ranks: ranks)
                // Each of several untrained encoders has a draw of its own.
                let own = ProbeSeeds(whole: [seed], draws: seeds.whole.count > 1 ? [seed] : seeds.draws)
                try rows.judge(model, "untrained", seeds: own, isLast: seed == seeds.whole.last)
            }
            if let train = train.samples.images, let test = test.samples.images {
                try PixelControls(train: train.dataset, test: test.dataset, normalisation: train.normalisation)
                    .judge(seeds: seeds, by: judge)
            }
        }
        try ranks.agree {
            guard ranks.isFirst else { return }
            let report = try judge.report(of: "step \(run.step) of \(saved.directory)")
            let printed = Result { try tell(report) }
            keeper.keep(report: report)
            try printed.get()
        }
        return .success
    }
}

/// Both splits, for features of several models of one method.
private struct JudgedRows<M: Method> {
    let train, test: EvaluationRows<M.Source.Batch>
    let layers: [LayerJoin<M.Layer>]
    let judge: FeatureJudge

    /// Fills the table's row of each layer. Collective.
    /// - Parameters:
    ///   - name: the model's name, with which the rows' names begin.
    ///   - isLast: whether this is the last model for these rows.
    func judge(_ model: Model<M>, _ name: String, seeds: ProbeSeeds, isLast: Bool) throws {
        let frozen = FrozenModel(model)
        var features = try judge.ranks.agree {
            (train: try frozen.features(of: train, layers), test: try frozen.features(of: test, layers))
        }
        for layer in layers {
            // Removed from the lists, so that the memory of one layer is free for the next.
            let (trainValues, testValues) = (features.train.removeFirst(), features.test.removeFirst())
            let row = "\(name) \(layer.name)"
            try judge.judge(row, seeds: seeds) { try judge.features(trainValues, testValues) }
            if isLast { try judge.complete(row) }
        }
    }
}
