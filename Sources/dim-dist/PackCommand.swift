import Collectives
import Datasets
import Foundation
import Methods
import Training

extension Program {
    static let pack = Command(
        name: "pack", summary: "Decode images once, into arrays that runs share and that may be larger than memory.",
        usage: "--data PATH --output DIR [--split SPLIT] [--skip-broken] [--set data.imageSize=64]…",
        options: [
            Option("data", "PATH", "images of any format that train reads"),
            Option("output", "DIR", "a new folder for the arrays, or that of a packing that was interrupted"),
            Option("split", "train|test|unlabelled", "the only split to pack; all that there are by default"),
            Option("skip-broken", "leave out image files that can't be decoded, and list them in skipped.txt"),
            Option("set", "KEY=VALUE", "sets \(settings.joined(separator: ", ")); as for train", repeats: true),
        ],
        notes: """
            DIR then has, for each split, such as train:
              train.npy         uint8 [samples, height, width, channels], or float32 where numbers aren't bytes.
              train_labels.npy  int32, where the data have labels.
              train_ids.txt     file names below --data, a line each, for image files.
              classes.txt       names of classes, a line each, for image folders.

            Use DIR as --data of train, eval and embed. After an interruption, the same command goes on.
            """
    ) { (arguments: Arguments, ranks: any Ranks) throws -> ExitStatus in
        signal(SIGPIPE, SIG_IGN)  // the reader of the output may close it,
        signal(SIGXFSZ, SIG_IGN)  // and a file above the size limit makes its write fail
        let (request, split, output) = try ranks.agree {
            let output = try arguments.required("output")
            let (request, split) = try packRequest(arguments)
            if ranks.isFirst { try makeFolder(output) }
            return (request, split, output)
        }
        let stop = StopRequest()
        var reading = request
        if ranks.isFirst { reading.progress = LoadingProgress().report }
        let packing = try Packing(reading, split: split, folder: output, ranks: ranks)
        let progress = PackProgress(
            packing.count,
            isTerminal: Progress.reachesTerminal(environment: ProcessInfo.processInfo.environment))
        let outcome = try packing.run(isStopped: { stop.isMade }) { if ranks.isFirst { progress.show($0) } }
        try ranks.agree {
            guard ranks.isFirst else { return }
            progress.end()
            for note in packing.notes { complain(note) }
            if !packing.wasComplete {
                SkippedFiles(packing.skipped, kept: packing.count).report(
                    listing: output + "/skipped.txt", tell: complain)
            }
        }
        try tell(by: ranks) { lines(packing, outcome, output).joined(separator: "\n") }
        return outcome == .finished ? .success : .interrupted
    }

    /// The settings that decide the arrays.
    private static let settings = ["data.imageSize", "data.channels", "data.layout", "data.split", "data.skipBroken"]

    /// The request for samples, of any split, and the only split to pack, if one is given.
    private static func packRequest(_ arguments: Arguments) throws -> (ImageRequest, Split?) {
        var typed = try JSONValue.settings(typed: arguments.all("set"))
        for name in typed.flatMap(\.leaves) where !settings.contains(name) {
            throw InputError(
                "--set \(name): pack takes only \(settings.joined(separator: ", ")); other settings are for train")
        }
        typed.append(.leaf("data.path", .string(try arguments.required("data"))))
        if arguments.has("skip-broken") { typed.append(.leaf("data.skipBroken", .boolean(true))) }
        if let text = arguments.text("split") { typed.append(.leaf("data.split", .string(text))) }
        // Settings of data are the same for all methods.
        let data = try Configuration<DeepInfoMax>(layers: typed).data
        let isOne = typed.contains { $0.value(at: "data.split") != .null }
        let request = ImageRequest(
            path: data.path, imageSize: data.imageSize, channels: data.channels, layout: data.layout,
            skipBroken: data.skipBroken)
        return (request, isOne ? data.split : nil)
    }

    private static func lines(_ packing: Packing, _ outcome: Packing.Outcome, _ output: String) -> [String] {
        if case .interrupted(let done) = outcome {
            return ["interrupted: \(done) of \(packing.count) samples are packed; to go on, run the same command again"]
        }
        let arrays = packing.splits.map { split in
            let labels = split.isLabelled ? ", with labels" : ", without labels"
            let classes = split.classes.map { " of \($0) class\($0 == 1 ? "" : "es")" } ?? ""
            let array = "\(split.element == .uint8 ? "uint8" : "float32") \(split.shape), \(split.bytes) bytes"
            return "\(output)/\(split.split.rawValue).npy: \(array)\(labels)\(classes)"
        }
        return arrays + (packing.wasComplete ? ["all was packed before"] : [])
    }
}

/// Shows how packing goes: on a terminal in one line that is rewritten, otherwise in a line every ten seconds.
private final class PackProgress {
    private let count: Int
    private let isTerminal: Bool
    private var last = ContinuousClock.now
    /// Samples that were done when this start's first block was, and when that was.
    private var first: (done: Int, time: ContinuousClock.Instant)?
    private var isOpen = false

    init(_ count: Int, isTerminal: Bool) { (self.count, self.isTerminal) = (count, isTerminal) }

    func show(_ done: Int) {
        let now = ContinuousClock.now
        let since = first ?? (done, now)
        first = since
        guard last.duration(to: now) > (isTerminal ? .milliseconds(500) : .seconds(10)) else { return }
        last = now
        let rate = Double(done - since.done) / max(since.time.duration(to: now) / .seconds(1), 1e-9)
        let text = "\(done) of \(count) samples packed" + (rate > 0 ? ", \(Int(rate)) samples/s" : "")
        guard isTerminal else { return Program.complain(text) }
        print("\r\u{1B}[K" + text, terminator: "")
        fflush(nil)
        isOpen = true
    }

    /// Ends the line that is rewritten, so that other output can follow.
    func end() { if isOpen { print("") } }
}
