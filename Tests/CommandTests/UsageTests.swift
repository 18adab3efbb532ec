import Foundation
import XCTest

/// A wrong command line ends with one line that helps, and exit status 2.
final class UsageTests: CommandTestCase {
    private static let commands = [
        "train": ["--data", "--output", "--config", "--steps", "--batch", "--seed", "--set", "--resume"],
        "pack": ["--data", "--output", "--split", "--skip-broken", "--set"],
        "eval": ["--run", "--data", "--probe", "--layer"],
        "embed": ["--run", "--data", "--output", "--layer", "--split"],
        "estimate": ["--x", "--y", "--estimator", "--critic", "--steps", "--batch", "--held-out", "--seed"],
        "objective": ["--locals", "--globals", "--estimator", "--anchor", "--gradients"],
        "bench step": ["--json", "--units", "--batch", "--batch-per-rank", "--threads", "--trace", "--data"],
        "bench project": ["--nodes", "--bandwidth", "--latency"],
        "bench loss": ["--images", "--locations", "--dimensions"],
        "bench views": ["--recipe", "--size", "--view-size", "--threads", "--rounds", "--set", "--json"], "doctor": [],
    ]

    func testHelp() throws {
        for arguments in [["--help"], ["help"], []] {
            let text = try succeed(arguments)
            for command in Self.commands.keys { XCTAssertTrue(text.contains("\n  \(command) "), "\(command): \(text)") }
            XCTAssertTrue(text.contains("mpirun -np"))
            XCTAssertTrue(text.contains("75"))
        }
        for (command, options) in Self.commands {
            let text = try succeed(command.split(separator: " ").map(String.init) + ["--help"])
            for option in options + ["--transport", "--ranks", "--help"] {
                XCTAssertTrue(text.contains("\n  \(option) "), "\(command) \(option): \(text)")
            }
        }
    }

    func testMistypedNamesAreCorrected() throws {
        try writeData()
        let train = trainArguments("run", steps: 1)
        let cases: [(arguments: [String], texts: [String])] = [
            (["trian"], ["unknown command trian", "did you mean train?"]),
            (["bench"], ["unknown command bench", "bench step"]),
            (["--halp"], ["unknown command --halp", "--help"]),
            (["train", "--ouput", "x"], ["unknown option --ouput", "did you mean --output?"]),
            (["embed", "run"], ["unknown option run", "--run"]),
            (train + ["--set", "critic.unit=4"], ["unknown setting critic.unit", "did you mean critic.units?"]),
            (train + ["--set", "optimizer.rate=4"], ["unknown setting optimizer", "did you mean optimiser?"]),
        ]
        for (arguments, texts) in cases { try assertRefused(arguments, texts) }
        XCTAssertFalse(FileManager.default.fileExists(atPath: path("run")))
    }

    func testWrongValuesAreNamed() throws {
        try writeData()
        let train = trainArguments("run", steps: 1)
        let cases: [(arguments: [String], texts: [String])] = [
            (["train", "--data", path("data")], ["--output is missing"]),
            (["train", "--output", path("run")], ["no data", "--data"]),
            (["train", "--output"], ["--output needs a value"]),
            (["train", "--output", ""], ["--output needs a value"]),
            (["train", "--data="], ["--data needs a value"]),
            (train + ["--config", "/dev/null"], ["/dev/null: is not a regular file"]),
            (train + ["--output", "b"], ["--output is given twice"]),
            (train + ["--resume=yes"], ["--resume takes no value"]),
            (train + ["--set", "batch"], ["--set batch", "KEY=VALUE"]),
            (train + ["--set", "a\n\u{1B}=1"], ["unknown setting a\\n\\u{1B}"]),  // one line
            (train + ["--set", String(repeating: "a.", count: 60_000) + "=1"], ["--set a.a.", "no setting has"]),
            (train + ["--set", "batch=1"], ["batch is 1", "2 to "]),
            (train + ["--set", "batch=many"], ["batch is \"many\"", "a whole number"]),
            (train + ["--set", "batch=97"], ["batch is 97", "--batch 96"]),
            (train + ["--set", "steps=1.5"], ["steps is 1.5", "a whole number"]),
            (train + ["--set", "optimiser.rate=NaN"], ["optimiser.rate is \"NaN\"", "a number"]),
            (train + ["--set", "optimiser.rate=0"], ["optimiser.rate is 0", "above 0"]),
            (train + ["--set", "objective.estimator=nce"], ["objective.estimator is \"nce\"", "infoNCE"]),
            (train + ["--set", "encoder.kind=basic32x32"], ["basic32x32", "28x28"]),
            (train + ["--set", "data.augmentation.padCrop=30"], ["padCrop is 30", "0 to 27"]),
            (train + ["--seed", "-1"], ["seed is -1"]),
            (train + ["--seed", "18446744073709551616"], ["seed is ", "0 to 18446744073709551615"]),
            (
                train + ["--set", "critic.units=8"],
                [
                    "--set critic.units=16 and --set critic.units=8",
                    "both set "
                        + "critic.units",
                ]
            ),
            (train + ["--set", "critic={ units: 8 }"], ["both set critic.units"]),
            (train + ["--set", "data={ split: 'train', split: 'test' }"], ["split is set twice, on line 1: keep one"]),
            (train + ["--set", "data.layout=channelsFirst"], ["data.layout is channelsFirst", "no .npy images"]),
            (train + ["--set", "data.layout=NCHW"], ["data.layout is", "automatic, channelsLast, channelsFirst"]),
            (train + ["--transport", "pigeon"], ["--transport is pigeon", "mpi, threads or none"]),
            (train + ["--ranks", "2"], ["--ranks 2", "mpirun -np 2"]),
            (train + ["--ranks", "0"], ["--ranks is 0", "1 to 1024"]),
            (train + Self.threads(97), ["97 ranks", "96 images"]),
            (["embed", "--run", path("none"), "--output", "x"], ["\(path("none")) is not a run directory"]),
            (["eval", "--run", path("none"), "--probe", "knn,tree"], ["--probe is tree", "linear, svm, knn, mlp"]),
            (
                ["eval", "--run", path("none"), "--probe", "knn,linear,knn"],
                ["--probe is knn,linear,knn", "knn is given twice"]
            ),
            (["estimate", "--x", "x.npy"], ["--y is missing"]),
            (["estimate", "--estimator", "dv"], ["--estimator is dv", "infoNCE, mine, donskerVaradhan"]),
            (["estimate", "--held-out", "1"], ["--held-out is 1", "0.1 to 0.9"]),
            (["bench", "step", "--units", "0"], ["--units is 0", "1 to 65536"]),
        ]
        for (arguments, texts) in cases { try assertRefused(arguments, texts) }
        XCTAssertFalse(FileManager.default.fileExists(atPath: path("run/checkpoints/step-00000001")))
    }

    func testBadDataAreNamed() throws {
        let images = TestImages(count: 30, seed: 3)
        let file = URL(fileURLWithPath: path("images"))
        func refused(_ data: String, _ texts: [String], line: UInt = #line) throws {
            for ranks in [[], Self.threads(3)] {
                try assertRefused(trainArguments("run", steps: 1, ranks, data: data), texts, line: line)
            }
        }
        try refused("none", ["\(path("none")): no such file or folder"])
        try FileManager.default.createDirectory(atPath: path("empty"), withIntermediateDirectories: true)
        try refused("empty", [path("empty"), "no images found", "train-images-idx3-ubyte"])
        var single = images
        (single.labels, single.pixels) = ([images.labels[0]], [images.pixels[0]])
        try single.imagesFile.write(to: file)
        try refused("images", [file.path, "has 1 image, expected at least 2"])
        try images.labelsFile.write(to: file)
        try refused("images", [file.path, "magic 2049, expected 2051"])
        try images.imagesFile.dropLast().write(to: file)
        try refused("images", [file.path, "\(15 + 30 * 784) bytes, expected \(16 + 30 * 784)"])
        // As gzip writes it, cut off in the middle: a header, then a stored block that promises all the bytes.
        let block = images.imagesFile
        let sizes = [UInt16(block.count), ~UInt16(block.count)].flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] }
        let compressed = Data([0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3, 1] + sizes) + block.prefix(5000)
        try compressed.write(to: URL(fileURLWithPath: path("images.gz")))
        try refused("images.gz", [path("images.gz"), "ends early"])
    }

    func testBadConfigurationFilesAreNamed() throws {
        try writeData()
        let train = trainArguments("run", steps: 1, ["--config", path("run.json5")])
        try assertRefused(train, [path("run.json5"), "can't be opened"])
        for (text, said) in [
            ("{ batch: 12", [path("run.json5"), "not JSON5"]), ("", [path("run.json5"), "not JSON5"]),
            ("{ batch: 'a\nb' }", [path("run.json5"), "the value of batch", "broken string"]),
            ("{ 'a\\nb': 1 }", [path("run.json5"), "line 1 has a key with a \\"]),
            ("{ batch: 24,\n 'batch': 32 }", [path("run.json5"), "batch is set twice, on lines 1 and 2: keep one"]),
            (String(repeating: " ", count: 1 << 16 + 1), [path("run.json5"), "65537 bytes", "at most 65536"]),
            (String(repeating: "[", count: 500) + String(repeating: "]", count: 500), ["run.json5", "too deeply"]),
            // The line says what is wrong at its start and what is right at its end.
            ("{ threads: '\(String(repeating: "a", count: 60_000))' }", ["threads is \"aaa", " … ", "a whole number"]),
            ("[1]", ["must be an object", "batch"]), ("{ critic: 5 }", ["critic", "units"]),
            ("{ critic: { units: 'many' } }", ["critic.units is", "a whole number"]),
            ("{ critic: { unit: 5 } }", ["unknown setting critic.unit", "critic.units"]),
            ("{ optimiser: { rate: NaN } }", [path("run.json5"), "optimiser.rate", "finite"]),
        ] {
            try text.write(toFile: path("run.json5"), atomically: true, encoding: .utf8)
            // --set stands above the file, so leave it out.
            let arguments = Array(train.prefix { $0 != "--set" }) + ["--config", path("run.json5")]
            try assertRefused(arguments, said)
        }
    }

    func testAFileInTheWayIsNamed() throws {
        try writeData()
        try Data().write(to: URL(fileURLWithPath: path("file")))
        try assertRefused(trainArguments("file/run", steps: 0), [path("file/run"), "can't be made"])
    }
}
