import Foundation
import XCTest

/// The methods beside Deep InfoMax, from training to features.
final class MethodCommandTests: CommandTestCase {
    private static let small = [
        "encoder.kind=convolutional", "encoder.blocks=[{channels: 4}, {channels: 6}]", "encoder.fullyConnected=[12]",
        "encoder.code=3", "data.virtualShards=8", "optimiser.warmupSteps=0", "data.augmentation.greyscale=0",
        "data.augmentation.jitter.saturation=0", "data.augmentation.jitter.hue=0",
    ]
    private static let rows: [(method: String, settings: [String], layers: String, widths: [Int])] = [
        (
            "byol", ["projector.hidden=8", "projector.width=5", "predictor.hidden=8", "predictor.width=5"],
            "code,projection,fc+code", [3, 5, 15]
        ),
        ("simclr", ["projector.hidden=[8, 8]", "projector.width=5"], "code,projection", [3, 5]),
        (
            "mocoV2", ["projector.hidden=8", "projector.width=5", "queue=40", "groups=2"], "code,projection", [3, 5]
        ),
        (
            "simsiam", ["projector.hidden=8", "projector.width=5", "predictor.hidden=8", "predictor.width=5"],
            "code,projection", [3, 5]
        ),
        ("supervised", ["viewsPerImage=2"], "code,logits", [3, 4]),
        ("multiPatch", ["patches=3", "projector.hidden=8", "projector.width=5"], "code,conv", [3, 7 * 7 * 6]),
        ("barlowTwins", ["projector.hidden=8", "projector.width=5"], "code,fc", [3, 12]),
        ("vicreg", ["projector.hidden=8", "projector.width=5"], "code,projection", [3, 5]),
        (
            "factorVAE", ["decoder.channels=2", "discriminator.layers=2", "discriminator.units=9"],
            "mean,local,fc+mean", [3, 7 * 7 * 4 * 4, 15]
        ),
    ]

    override func setUpWithError() throws {
        try super.setUpWithError()
        try TestImages(count: 48, seed: 1).write(to: path("data"), split: "train")
        try TestImages(count: 24, seed: 2).write(to: path("data"), split: "t10k")
    }

    private func arguments(_ method: String, _ settings: [String], steps: Int, _ more: [String] = []) -> [String] {
        ["train", "--method", method, "--data", path("data"), "--output", path(method), "--steps", "\(steps)"]
            + ["--batch", "12"] + (Self.small + settings).flatMap { ["--set", $0] } + more
    }

    func testMethodsTrainAndEmbed() throws {
        for (method, settings, layers, widths) in Self.rows {
            let text = try succeed(arguments(method, settings, steps: 2, Self.threads(2)))
            XCTAssertTrue(text.contains("method     \(method)"), text)
            XCTAssertEqual(try losses(method).count, 2)
            // A run keeps its method, and says so where another is asked for.
            let resumed = try succeed([
                "train", "--data", path("data"), "--output", path(method), "--steps", "3", "--resume",
            ])
            XCTAssertTrue(resumed.contains("method     \(method)") && resumed.contains("from step 2"), resumed)
            try assertRefused(
                ["train", "--method", "deepInfoMax", "--data", path("data"), "--output", path(method), "--resume"],
                ["method is deepInfoMax", "holds a run of \(method)"])

            try succeed(
                ["embed", "--run", path(method), "--layer", layers, "--output", path("x.npz")] + Self.threads(3))
            let found = try arrays(of: path("x.npz"))
            try FileManager.default.removeItem(atPath: path("x.npz.unpacked"))
            for (layer, width) in zip(layers.split(separator: ","), widths) {
                XCTAssertEqual(found[String(layer)]?.count, 48 * width * 4, "\(method) \(layer)")
            }
            let ending = try run(["eval", "--run", path(method), "--probe", "knn", "--layer", layers])
            XCTAssertEqual(ending.status, 0, ending.errors)
            XCTAssertTrue(ending.output.contains("untrained"), ending.output)
            try assertRefused(
                ["embed", "--run", path(method), "--layer", "mode", "--output", path("y.npy")],
                ["--layer is mode", layers.split(separator: ",").map(String.init)[0]])
        }
    }

    /// Killed before its first checkpoint.
    func testARunWithoutACheckpointKeepsItsMethod() throws {
        let (method, settings) = (Self.rows[0].method, Self.rows[0].settings)
        try succeed(arguments(method, settings, steps: 1))
        try FileManager.default.removeItem(atPath: path("byol/checkpoints"))
        let again = try succeed(
            ["train", "--data", path("data"), "--output", path("byol"), "--steps", "0", "--batch", "12", "--resume"])
        XCTAssertTrue(again.contains("method     byol"), again)
    }

    /// The group that was to move is named by its rate, with exit status 2: to start again wouldn't help.
    func testADiscriminatorThatGoesAstrayIsNamed() throws {
        let (method, settings) = try XCTUnwrap(Self.rows.last.map { ($0.method, $0.settings) })
        let ending = try run(
            arguments(
                method, settings, steps: 40,
                ["--set", "discriminator.optimiser.rate=1e30", "--set", "discriminator.times=2"]))
        XCTAssertEqual(ending.status, 2, ending.errors)
        XCTAssertTrue(ending.errors.contains("lower discriminator.optimiser.rate (1e+30)"), ending.errors)
        XCTAssertTrue(FileManager.default.fileExists(atPath: path("factorVAE/nonfinite/step-1/rank-0.npy")))
    }

    /// An encoder of another run, of which some arrays don't fit.
    func testARunStartsFromAnEncoder() throws {
        try succeed(arguments("byol", Self.rows[0].settings, steps: 1))
        let other =
            ["train", "--method", "supervised", "--data", path("data"), "--output", path("tuned")]
            + ["--batch", "12", "--steps", "0", "--init", path("byol")]
        let settings = Self.small.filter { !$0.hasPrefix("encoder.code") }
        let ending = try run(other + (settings + ["encoder.code=4"]).flatMap { ["--set", $0] } + Self.threads(2))
        XCTAssertEqual(ending.status, 0, ending.errors)
        XCTAssertTrue(ending.errors.contains("the encoder starts from \(path("byol/checkpoints/step-00000001"))"))
        XCTAssertTrue(ending.errors.contains("--init: encoder.code.weight is [3, 12], not [4, 12]"), ending.errors)
        XCTAssertTrue(ending.errors.contains("--init: encoder.code.bias is missing"), ending.errors)
        XCTAssertEqual(ending.errors.components(separatedBy: "--init:").count, 3, ending.errors)
        for layer in ["conv", "local"] {
            for run in ["byol", "tuned"] {
                try succeed(["embed", "--run", path(run), "--layer", layer, "--output", path("\(run)-\(layer).npy")])
            }
            XCTAssertEqual(
                try Data(contentsOf: URL(fileURLWithPath: path("byol-\(layer).npy"))),
                try Data(contentsOf: URL(fileURLWithPath: path("tuned-\(layer).npy"))))
        }
        let again = try run(other + ["--resume"])
        XCTAssertEqual(again.status, 0, again.errors)
        XCTAssertTrue(again.errors.contains("--init is left out: the run goes on from its own step 0"), again.errors)
        try assertRefused(
            other.map { $0 == path("tuned") ? path("none") : $0 == path("byol") ? path("data") : $0 }
                + settings.flatMap { ["--set", $0] }, ["--init is \(path("data")), which has no checkpoint"])
        try assertRefused(
            other.map { $0 == path("tuned") ? path("none") : $0 } + ["--set", "encoder.kind=fullyConnected"],
            ["has none of the encoder's arrays"])
    }

    /// An encoder takes images of one size.
    func testViewsOfAnotherSizeAreRefused() throws {
        for (method, settings, message) in [
            ("simclr", ["views.small=2", "views.smallSize=14"], "views.smallSize is 14, but images are 28x28"),
            ("simclr", ["views.largeSize=24"], "views.largeSize is 24, but images are 28x28"),
            ("multiPatch", ["patchSize=12"], "patchSize is 12, but images are 28x28"),
        ] {
            try assertRefused(arguments(method, settings, steps: 1), [message, "set it to 0"])
        }
        try succeed(arguments("simclr", ["views.small=2", "views.smallSize=28", "views.largeSize=28"], steps: 1))
    }

    func testViewsThatCannotDifferAreRefused() throws {
        for ranks in [[], Self.threads(3)] {
            try assertRefused(
                arguments("byol", [], steps: 1, ["--set", "data.augmentation={padCrop: 0, flip: false}"] + ranks),
                ["byol learns from different views", "data.augmentation.recipe"])
        }
    }

    func testHelpTellsTheSettingsOfAMethod() throws {
        for (method, _, _, _) in Self.rows {
            for words in [["--method", method], ["--method=\(method)"]] {
                let text = try succeed(["train"] + words + ["--help"])
                for setting in ["batch=", "encoder.code=", "optimiser.rate=", "data.augmentation.padCrop=", "method="] {
                    XCTAssertTrue(text.contains("\n  \(setting)"), "\(method) \(setting): \(text)")
                }
                XCTAssertFalse(text.contains("critic.units"), text)
            }
        }
        try assertRefused(["train", "--method", "byoll", "--help"], ["--method is byoll", "did you mean byol?"])
    }
}
