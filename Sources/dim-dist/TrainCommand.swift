import Collectives
import Datasets
import Foundation
import Objectives
import Tensors
import Training

private let settings = [
    Option("config", "FILE", "JSON5 file of settings; see launch/runs"),
    Option(
        "data", "PATH", "images: a folder of JPEG and PNG files, IDX, CIFAR-10/100, STL-10 or .npy",
        setting: "data.path"),
    Option("steps", "N", "optimiser steps; 0 writes the untrained checkpoint", setting: "steps"),
    Option("batch", "B", "images of the global batch, split over ranks", setting: "batch"),
    Option("seed", "S", "of every random number", setting: "seed"),
    Option("threads", "T", "threads of each rank", setting: "threads"),
    Option(
        "stall-timeout", "S", "seconds that ranks wait for one before the job is ended; 0 for ever",
        setting: "stallTimeout"),
    Option(
        "compat", "exact|published", "published: infoNCE with the published code's mask of -10",
        setting: "objective.compatibility"),
    Option("set", "KEY=VALUE", "any setting, such as critic.units=1024", repeats: true),
]

extension Program {
    static let train = Command(
        name: "train", summary: "Learn an encoder from images without labels.",
        usage: "--data PATH --output DIR [--config FILE] [--steps N] [--batch B] [--resume] [--set KEY=VALUE]…",
        options: settings + [
            Option("output", "DIR", "run directory: config.json, metrics.jsonl, checkpoints/"),
            Option("skip-broken", "leave out image files that don't decode, and list them in skipped.txt"),
            Option("resume", "go on from the newest checkpoint in --output, if there is one"),
        ]
    ) { (arguments: Arguments, ranks: any Ranks) throws -> ExitStatus in
        let (configuration, output) = try ranks.agree {
            let output = try arguments.required("output")
            // Settings of a run that made no step bind nobody.
            let isResumed = try arguments.has("resume") && !CheckpointStore(run: output).steps.isEmpty
            let resumed = isResumed ? try savedConfiguration(run: output) : nil
            let configuration = try Program.configuration(from: arguments, over: resumed)
            guard let resumed else { return (configuration, output) }
            return (try configuration.resuming(try Configuration(layers: [resumed])), output)
        }
        let device = try Program.device(configuration, ranks: ranks)
        _ = StopRequest(signals: [SIGUSR1])  // obeyed behind the first step, when it comes while data are read
        let run = try TrainingRun(
            configuration, output: output, resume: arguments.has("resume"), device: device, ranks: ranks)
        try ranks.agree {
            guard ranks.isFirst else { return }
            try SkippedFiles(run.data.skipped, kept: run.data.dataset.count).report(
                listing: output + "/skipped.txt", tell: complain)
        }
        if ranks.isFirst { print(header(run, configuration, ranks: ranks, output: output)) }
        signal(SIGPIPE, SIG_IGN)  // a reader of what is printed may leave,
        signal(SIGXFSZ, SIG_IGN)  // a limit of file sizes is an error of the write
        let stop = StopRequest()
        let isTerminal = Progress.reachesTerminal(environment: ProcessInfo.processInfo.environment)
        let outcome = try run.train(stop: stop, isTerminal: isTerminal)
        let peak = Double(device.memory.peakBytes) / 1_048_576
        guard ranks.isFirst else { return outcome == .finished ? .success : .interrupted }
        switch outcome {
        case .finished:
            print("trained: \(output)  (tensor memory at its peak: \(String(format: "%.1f", peak)) MiB a rank)")
            return .success
        case .interrupted(let step, nil):
            print("interrupted behind step \(step), checkpoint written: the same command with --resume goes on")
            return .interrupted
        case .interrupted(let step, let problem?):
            print(
                "interrupted behind step \(step), \(problem): the same command with --resume goes on from the one before"
            )
            return .interrupted
        }
    }

    /// The defaults, then a resumed run's settings, then the file's, then what was typed.
    static func configuration(from arguments: Arguments, over resumed: JSONValue? = nil) throws -> Configuration {
        var layers = resumed.map { [$0] } ?? []
        if let path = arguments.text("config") { layers.append(try JSONValue.settings(file: path)) }
        if arguments.has("skip-broken") { layers.append(.leaf("data.skipBroken", .boolean(true))) }
        for option in settings {
            if let setting = option.setting, let text = arguments.text(option.name) {
                layers.append(.leaf(setting, setting == "data.path" ? .string(text) : .typed(text)))
            }
        }
        return try Configuration(layers: layers + settingsTyped(arguments))
    }

    /// What `--set` says.
    static func settingsTyped(_ arguments: Arguments) throws -> [JSONValue] {
        try arguments.all("set").map { try JSONValue.setting(typed: $0) }
    }

    /// The settings that a run directory keeps; nil where there is no run.
    static func savedConfiguration(run: String) throws -> JSONValue? {
        let path = run + "/config.json"
        return FileManager.default.fileExists(atPath: path) ? try JSONValue.settings(file: path) : nil
    }

    private static func header(
        _ run: TrainingRun, _ configuration: Configuration, ranks: any Ranks, output: String
    ) -> String {
        let shape = run.data.dataset.shape
        let threads = run.model.device.threads
        let negatives = configuration.batch - 1
        let cores = Machine.current.cores
        var lines = [
            "data       \(configuration.data.path): \(run.data.dataset.count) images of "
                + "\(shape.height)x\(shape.width)x\(shape.channels), \(run.data.plan.stepsPerEpoch) steps an epoch",
            "model      \(run.model.encoder), \(run.model.parameters.count) parameters",
            "objective  \(configuration.objective.summary(critic: configuration.critic, negatives: negatives))",
            "world      \(ranks.worldSize) rank\(ranks.worldSize == 1 ? "" : "s") x \(threads) "
                + "thread\(threads == 1 ? "" : "s"), batch \(configuration.batch)",
            "run        \(output)" + (run.firstStep > 0 ? ", from step \(run.firstStep)" : ""),
        ]
        if ranks.worldSize * threads < cores && ranks.worldSize == 1 {
            lines.append("hint       \(cores) cores here: mpirun -np \(cores) dim-dist train … uses them all")
        }
        return lines.joined(separator: "\n")
    }
}

extension ObjectiveSettings {
    /// One line: `1 x local infoNCE anchored at global, separable critic of 512 units, negatives from 127 images`.
    fileprivate func summary(critic: CriticSettings, negatives: Int) -> String {
        let bound = estimator.rawValue + (estimator == .infoNCE ? " anchored at \(anchor.rawValue)" : "")
        let weighted = [
            (globalWeight, "global \(bound)"), (localWeight, "local \(bound)"),
            (prior.weight, "\(prior.distribution.rawValue) prior"), (coordinatesWeight, "coordinates"),
        ]
        var parts = [weighted.filter { $0.0 > 0 }.map { "\($0.0) x \($0.1)" }.joined(separator: " + ")]
        if globalWeight + localWeight > 0 {
            let normalised = critic.normalisation == .none ? "" : " with \(critic.normalisation.rawValue)"
            parts.append("\(critic.kind.rawValue) critic of \(critic.units) units\(normalised)")
            parts.append("negatives from \(negatives) images of all ranks")
        }
        if occlusion > 0 { parts.append("codes of images with \(occlusion)x\(occlusion) pixels hidden") }
        return parts.joined(separator: ", ")
    }
}
