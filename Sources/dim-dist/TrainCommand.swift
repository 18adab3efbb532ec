import Collectives
import Datasets
import Foundation
import Layers
import Methods
import Tensors
import Training

private let settings = [
    Option("method", "NAME", "how to train: \(MethodKind.expectation)", setting: "method"),
    Option("config", "FILE", "JSON5 file of settings; see launch/runs"),
    Option(
        "data", "PATH", "images: a folder of JPEG and PNG files, IDX, CIFAR-10/100, STL-10 or .npy",
        setting: "data.path"),
    Option("steps", "N", "steps of the whole run; 0 writes the untrained checkpoint", setting: "steps"),
    Option("batch", "B", "samples of the global batch, which the ranks divide", setting: "batch"),
    Option("seed", "S", "seed of all random numbers", setting: "seed"),
    Option("threads", "T", "threads of each rank", setting: "threads"),
    Program.precisionOption,
    Option(
        "stall-timeout", "S", "seconds that ranks wait for another rank before the job ends; 0 to wait for ever",
        setting: "stallTimeout"),
    Option(
        "compat", "exact|published", "for deepInfoMax; published: infoNCE with the published code's mask of -10",
        setting: "objective.compatibility"),
    Option("set", "KEY=VALUE", "sets any setting, such as critic.units=1024; may be repeated", repeats: true),
]

/// A line of `metrics.jsonl` about a run that continues in other numbers: the settings that changed.
private struct PrecisionLine: Encodable {
    let step: Int
    let precision: Precision?
    let exchange: Precision?

    /// nil where they are the same.
    init?(step: Int, from earlier: RunSettings, to settings: RunSettings) {
        self.step = step
        precision = settings.precision == earlier.precision ? nil : settings.precision
        exchange = settings.exchange == earlier.exchange ? nil : settings.exchange
        if precision == nil && exchange == nil { return nil }
    }

    /// For the user.
    func messages(from earlier: RunSettings) -> [String] {
        [
            precision.map { "steps to \(step) were made in \(earlier.precision), the next ones are in \($0)" },
            exchange.map {
                "steps to \(step) exchanged gradients in \(earlier.exchange), the next ones exchange them in \($0)"
            },
        ].compactMap { $0 }
    }
}

extension Program {
    static let train = Command(
        name: "train", summary: "Learn an encoder from images without labels.",
        usage: "--data PATH --output DIR [--method NAME] [--config FILE] [--steps N] [--batch B] [--resume] "
            + "[--set KEY=VALUE]…",
        options: settings + [
            Option("output", "DIR", "run directory: config.json, metrics.jsonl, checkpoints/"),
            Option("skip-broken", "leave out image files that can't be decoded, and list them in skipped.txt"),
            Option("resume", "continue from the newest checkpoint in --output, if there is one"),
            Option("init", "RUN", "start a new run's encoder from the newest checkpoint of another run"),
        ],
        notes: "train --method NAME --help lists the settings of a method.", helpsWithMethod: true
    ) { (arguments: Arguments, ranks: any Ranks) throws -> ExitStatus in
        let (kind, resumed, layers) = try ranks.agree {
            let run = try arguments.required("output")
            let saved = arguments.has("resume") ? try savedSettings(run: run) : nil
            let before = try saved.map { try MethodKind(layers: [$0]) }
            let layers = try settingsTyped(arguments)
            let kind = try MethodKind(layers: (saved.map { [$0] } ?? []) + layers)
            guard before == nil || before == kind else {
                throw InputError(
                    "method is \(kind.rawValue), but \(run) holds a run of \(before?.rawValue ?? ""): leave --method "
                        + "out, or choose another --output")
            }
            // A run without a checkpoint can be resumed with any settings.
            let resumed = try saved == nil || CheckpointStore(run: run).steps.isEmpty ? nil : saved
            try kind.refuseOthers(layers)
            return (kind, resumed, layers)
        }
        return try train(kind.type, layers, over: resumed, arguments, ranks)
    }

    private static func train<M: Method>(
        _ method: M.Type, _ layers: [JSONValue], over resumed: JSONValue?, _ arguments: Arguments, _ ranks: any Ranks
    ) throws -> ExitStatus {
        let (configuration, output) = try ranks.agree {
            let output = try arguments.required("output")
            let configuration = try Configuration<M>(layers: (resumed.map { [$0] } ?? []) + layers)
            guard let resumed else { return (configuration, output) }
            return (try configuration.resuming(try Configuration(layers: [resumed])), output)
        }
        let device = try Program.device(
            threads: configuration.threads, precision: configuration.precision, ranks: ranks)
        _ = StopRequest(signals: [SIGUSR1])  // a signal that comes while data are read is obeyed after the first step
        let run = try TrainingRun(
            configuration, output: output, resume: arguments.has("resume"), encoder: arguments.text("init"),
            device: device, ranks: ranks)
        try ranks.agree {
            guard ranks.isFirst else { return }
            for note in run.data.notes { complain(note) }
            SkippedFiles(run.data.skipped, kept: run.data.count).report(
                listing: output + "/skipped.txt", tell: complain)
        }
        let earlier = try ranks.agree { try resumed.map { try Configuration<M>(layers: [$0]).run } }
        if ranks.isFirst, let earlier,
            let line = PrecisionLine(step: run.firstStep, from: earlier, to: configuration.run)
        {
            try Journal(run: output, from: nil).note(line)
            for message in line.messages(from: earlier) { complain(message) }
        }
        if ranks.isFirst { print(header(run, ranks: ranks, output: output)) }
        signal(SIGPIPE, SIG_IGN)  // the reader of the output may close it,
        signal(SIGXFSZ, SIG_IGN)  // and a file above the size limit makes its write fail
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
            print("interrupted after step \(step), checkpoint written: to continue, run the same command with --resume")
            return .interrupted
        case .interrupted(let step, let problem?):
            print(
                "interrupted after step \(step), \(problem): to continue from the checkpoint before, run the same "
                    + "command with --resume"
            )
            return .interrupted
        }
    }

    /// The settings of the file, then those that were typed.
    static func settingsTyped(_ arguments: Arguments) throws -> [JSONValue] {
        var layers: [JSONValue] = []
        if let path = arguments.text("config") { layers.append(try JSONValue.settings(file: path)) }
        if arguments.has("skip-broken") { layers.append(.leaf("data.skipBroken", .boolean(true))) }
        for option in settings {
            if let setting = option.setting, let text = arguments.text(option.name) {
                let isText = ["data.path", "method", "precision"].contains(setting)
                try layers.append(.leaf(setting, isText ? .string(text) : .typed(text)))
            }
        }
        return try layers + JSONValue.settings(typed: arguments.all("set"))
    }

    /// The settings kept in a run directory; nil where there is no run.
    static func savedSettings(run: String) throws -> JSONValue? {
        let path = run + "/config.json"
        return FileManager.default.fileExists(atPath: path) ? try JSONValue.settings(file: path) : nil
    }

    private static func header<M: Method>(_ run: TrainingRun<M>, ranks: any Ranks, output: String) -> String {
        let configuration = run.configuration
        let threads = run.model.device.threads
        let summary = run.model.method.summary(batch: configuration.batch)
        let left = run.data.plan.shards.imageCount - run.data.plan.stepsPerEpoch * configuration.batch
        let cores = Machine.current.cores
        var lines = [
            "data       \(configuration.data.path): \(run.data.summary), \(run.stepsPerEpoch) steps an epoch"
                + (left > 0 ? " (each epoch leaves out \(left) samples, others every time)" : ""),
            "model      \(summary.networks), \(run.model.parameterCount) parameters",
            "objective  \(summary.objective)",
            "world      \(ranks.worldSize) rank\(ranks.worldSize == 1 ? "" : "s") x \(threads) "
                + "thread\(threads == 1 ? "" : "s"), batch \(configuration.batch)"
                + (configuration.precision == .float32 ? "" : ", \(configuration.precision.rawValue)"),
            "run        \(output)" + (run.firstStep > 0 ? ", from step \(run.firstStep)" : ""),
        ]
        if M.name != MethodKind.deepInfoMax.rawValue { lines.insert("method     \(M.name)", at: 0) }
        if ranks.worldSize * threads < cores && ranks.worldSize == 1 {
            lines.append("hint       \(cores) cores here: mpirun -np \(cores) dim-dist train … uses all of them")
        }
        if configuration.precision == .float32 && Precision.bfloat16.isNative {
            lines.append("hint       this processor multiplies bfloat16: --precision bfloat16 trains faster")
        }
        return lines.joined(separator: "\n")
    }
}

extension Method {
    /// A line for each setting of a run by this method, with its default.
    static var settingsHelp: String {
        get throws {
            let tree = try defaults.tree()
            let rows = tree.leaves.map { name in
                (
                    setting: "\(name)=\(tree.value(at: name).text)",
                    help: name == "method" ? MethodKind.expectation : Configuration<Self>.help[name] ?? ""
                )
            }
            let width = rows.map(\.setting.count).max() ?? 0
            let lines = rows.map {
                "  \($0.setting.padding(toLength: width + 2, withPad: " ", startingAt: 0))\($0.help)"
            }
            return "Settings of \(name) with their defaults, for --set or a JSON5 file:\n\n"
                + lines.joined(separator: "\n")
        }
    }
}
