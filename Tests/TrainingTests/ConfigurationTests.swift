import Datasets
import Foundation
import Layers
import Methods
import Tensors
import Testing

@testable import Training

struct ConfigurationTests {
    private func configuration(_ path: String, _ value: JSONValue) throws -> Configuration {
        try Configuration(layers: [.leaf(path, value)])
    }

    /// Dotted paths of the leaves of a tree.
    private static func leaves(_ tree: JSONValue, _ path: [String] = []) -> [String] {
        guard case .object(let members) = tree else { return [path.joined(separator: ".")] }
        return members.flatMap { leaves($0.value, path + [$0.key]) }.sorted()
    }

    private func shown(_ value: JSONValue) -> String {
        switch value {
        case .string(let text): "\"\(text)\""
        case .integer(let number): "\(number)"
        case .unsigned(let number): "\(number)"
        case .number(let number): "\(number)"
        case .boolean(let value): "\(value)"
        case .null: "null"
        case .array: "["
        case .object: "{"
        }
    }

    /// A valid value for each setting that isn't its default.
    static let others: [String: JSONValue] = [
        "data.path": .string("/somewhere"), "data.split": .string("test"), "data.virtualShards": .integer(32),
        "data.imageSize": .integer(64), "data.channels": .integer(1), "data.skipBroken": .boolean(true),
        "data.layout": .string("channelsFirst"),
        "data.augmentation.padCrop": .integer(4), "data.augmentation.flip": .boolean(true),
        "data.augmentation.jitter.brightness": .number(0.4), "data.augmentation.jitter.contrast": .number(0.4),
        "data.augmentation.jitter.saturation": .number(0.3), "data.augmentation.jitter.hue": .number(0.2),
        "data.augmentation.jitter.probability": .number(0.8), "data.augmentation.greyscale": .number(0.25),
        "data.augmentation.crop.least": .number(0.2), "data.augmentation.crop.most": .number(0.5),
        "data.augmentation.crop.ratio": .number(1.5), "data.augmentation.smallCrop.least": .number(0.1),
        "data.augmentation.smallCrop.most": .number(0.5), "data.augmentation.smallCrop.ratio": .number(1.5),
        "data.augmentation.verticalFlip": .boolean(true), "data.augmentation.quarterTurns": .boolean(true),
        "data.augmentation.blur.probability": .array([.number(0.5), .number(0.1)]),
        "data.augmentation.blur.least": .number(0.2), "data.augmentation.blur.most": .number(1.5),
        "data.augmentation.blur.size": .integer(5), "data.augmentation.blur.above": .integer(32),
        "data.augmentation.solarise.probability": .array([.number(0.25), .number(0.2)]),
        "data.augmentation.solarise.threshold": .number(0.25), "data.augmentation.noise": .number(0.05),
        "data.augmentation.channelDrop": .number(0.5), "data.augmentation.cutout.side": .integer(8),
        "data.augmentation.cutout.probability": .number(0.5), "data.ahead": .string("never"),
        "encoder.kind": .string("basic32x32"), "encoder.code": .integer(100),
        "encoder.blocks": .array([
            .object([
                "channels": .integer(8), "kernel": .integer(3), "stride": .integer(1), "padding": .integer(0),
                "pool": .integer(2), "poolStride": .integer(1),
            ])
        ]), "encoder.local": .integer(2), "encoder.fullyConnected": .array([.integer(96)]),
        "encoder.residual.depth": .integer(34), "encoder.residual.blocks": .array([.integer(1), .integer(2)]),
        "encoder.residual.bottleneck": .boolean(true), "encoder.residual.width": .integer(16),
        "encoder.residual.stem": .string("cifar"), "encoder.residual.local": .integer(2),
        "encoder.fast.widths": .array([.integer(32)]), "encoder.fast.convolutions": .integer(3),
        "encoder.fast.pooling": .string("mean"), "encoder.fast.whitening": .boolean(false),
        "encoder.fast.local": .integer(1),
        "objective.estimator": .string("jensenShannon"), "objective.anchor": .string("local"),
        "objective.compatibility": .string("published"), "objective.localWeight": .number(0.5),
        "objective.globalWeight": .number(1.5), "objective.coordinatesWeight": .number(0.1),
        "objective.occlusion": .integer(8), "objective.prior.weight": .number(0.1),
        "objective.prior.distribution": .string("normal"), "objective.prior.penalty": .number(0.5),
        "objective.prior.optimiser.kind": .string("sgd"), "objective.prior.optimiser.momentum": .number(0.8),
        "objective.prior.optimiser.nesterov": .boolean(true), "objective.prior.optimiser.weightDecay": .number(1e-3),
        "objective.prior.optimiser.trustCoefficient": .number(0.01), "objective.prior.optimiser.clip": .boolean(false),
        "objective.prior.optimiser.rate": .number(1e-3), "objective.prior.optimiser.beta1": .number(0.5),
        "objective.prior.optimiser.beta2": .number(0.99), "objective.prior.optimiser.epsilon": .number(1e-6),
        "objective.prior.optimiser.schedule": .string("cosine"),
        "objective.prior.optimiser.warmupSteps": .integer(9), "critic.kind": .string("concatenated"),
        "critic.normalisation": .string("layerNorm"), "critic.units": .integer(1024), "batchNorm": .string("local"),
        "optimiser.kind": .string("sgd"), "optimiser.momentum": .number(0.8),
        "optimiser.nesterov": .boolean(true), "optimiser.weightDecay": .number(1e-3),
        "optimiser.trustCoefficient": .number(0.01), "optimiser.clip": .boolean(false),
        "optimiser.rate": .number(1e-3),
        "optimiser.beta1": .number(0.5), "optimiser.beta2": .number(0.99), "optimiser.epsilon": .number(1e-6),
        "optimiser.schedule": .string("cosine"), "optimiser.warmupSteps": .integer(0), "batch": .integer(64),
        "microBatch": .integer(32), "steps": .integer(7), "seed": .unsigned(.max), "threads": .integer(2),
        "precision": .string("bfloat16"), "exchange": .string("bfloat16"),
        "stallTimeout": .integer(30), "checkpoint.every": .integer(5),
        "checkpoint.keep": .integer(1),
    ]

    /// The settings that a setting needs beside it: the kind of optimiser that has it, or own blocks of an encoder.
    private func base(of path: String) -> [JSONValue] {
        if ["encoder.residual.blocks", "encoder.residual.bottleneck"].contains(path) {
            return [
                .leaf("encoder.residual.depth", .integer(0)),
                .leaf("encoder.residual.blocks", .array([.integer(2), .integer(2)])),
            ]
        }
        for (setting, kind) in ["momentum": "sgd", "nesterov": "sgd", "trustCoefficient": "lars", "clip": "lars"]
        where path.hasSuffix("optimiser.\(setting)") {
            return [.leaf(path.dropLast(setting.count) + "kind", .string(kind))]
        }
        return []
    }

    /// The setting that changes the defaults of others. It has tests of its own.
    private static let recipe = "data.augmentation.recipe"

    /// Values of the right type that are out of range.
    static let refused: [(String, JSONValue)] = [
        ("data.split", .string("validation")), ("data.virtualShards", .integer(-1)),
        ("data.virtualShards", .integer(48)), ("data.virtualShards", .integer(1 << 21)),
        ("data.imageSize", .integer(-1)), ("data.imageSize", .integer(4097)), ("data.channels", .integer(2)),
        ("data.augmentation.padCrop", .integer(-1)), ("data.augmentation.padCrop", .integer(65)),
        ("data.augmentation.crop.least", .number(0)), ("data.augmentation.crop.least", .number(1.5)),
        ("data.augmentation.crop.most", .number(1.5)), ("data.augmentation.crop.ratio", .number(0.5)),
        ("data.augmentation.smallCrop.least", .number(0)), ("data.augmentation.smallCrop.most", .number(-1)),
        ("data.augmentation.blur.probability", .number(1.5)), ("data.augmentation.blur.least", .number(0)),
        ("data.augmentation.blur.most", .number(0.01)), ("data.augmentation.blur.size", .integer(4)),
        ("data.augmentation.blur.size", .integer(257)), ("data.augmentation.blur.above", .integer(-1)),
        ("data.augmentation.solarise.probability", .number(-0.5)),
        ("data.augmentation.solarise.threshold", .number(1.5)), ("data.augmentation.noise", .number(-0.5)),
        ("data.augmentation.channelDrop", .number(1.5)), ("data.augmentation.cutout.side", .integer(-1)),
        ("data.augmentation.cutout.probability", .number(1.5)), ("data.ahead", .string("perhaps")),
        ("data.augmentation.recipe", .string("SimCLR")), ("data.augmentation.recipe", .integer(1)),
        ("data.augmentation.jitter.hue", .number(0.6)), ("data.augmentation.greyscale", .number(-0.1)),
        ("microBatch", .integer(-1)),
        ("encoder.kind", .string("resnet50")), ("encoder.code", .integer(-1)), ("encoder.code", .integer(65537)),
        ("objective.estimator", .string("InfoNCE")), ("objective.anchor", .string("")),
        ("objective.compatibility", .string("old")), ("objective.localWeight", .number(-1)),
        ("objective.globalWeight", .number(-0.1)), ("objective.coordinatesWeight", .number(-1)),
        ("objective.occlusion", .integer(-1)), ("objective.prior.weight", .number(-1)),
        ("objective.prior.penalty", .number(-1)), ("objective.prior.distribution", .string("gaussian")),
        ("objective.prior.optimiser.rate", .number(0)), ("critic.kind", .string("dot")),
        ("critic.normalisation", .string("batchNorm")), ("critic.units", .integer(0)),
        ("critic.units", .integer(65537)), ("critic.units", .integer(.min)),
        ("batchNorm", .string("none")), ("optimiser.rate", .number(0)), ("optimiser.rate", .number(-1e-4)),
        ("optimiser.beta1", .number(1)), ("optimiser.beta1", .number(-0.1)), ("optimiser.beta2", .number(1)),
        ("optimiser.beta2", .number(-0.1)), ("optimiser.epsilon", .number(0)), ("optimiser.schedule", .string("step")),
        ("optimiser.warmupSteps", .integer(-1)), ("optimiser.kind", .string("Adam")),
        ("batch", .integer(1)), ("batch", .integer(1 << 25)),
        ("steps", .integer(-1)), ("steps", .integer(1 << 41)), ("seed", .integer(-1)), ("threads", .integer(-1)),
        ("stallTimeout", .integer(-1)), ("precision", .string("float16")), ("exchange", .string("float16")),
        ("threads", .integer(1025)), ("checkpoint.every", .integer(-1)),
        ("checkpoint.keep", .integer(0)),
        ("checkpoint.keep", .integer(1001)),
        // Infinite or 0 as float32.
        ("optimiser.rate", .number(1e39)), ("optimiser.rate", .number(1e-46)), ("optimiser.epsilon", .number(1e-46)),
        ("objective.prior.optimiser.epsilon", .number(1e39)), ("objective.localWeight", .number(1e39)),
    ]

    @Test func defaultsAreValid() throws {
        #expect(try Configuration(layers: []) == Configuration())
        #expect(try Configuration(layers: [Configuration().tree()]) == Configuration())
        #expect(Configuration().steps > 0)
    }

    /// A new setting fails here until it has a row above.
    @Test func everySettingCanBeSet() throws {
        #expect(Self.leaves(try Configuration().tree()) == (Self.others.keys + ["method", Self.recipe]).sorted())
        for (path, value) in Self.others {
            let earlier = try Configuration(layers: base(of: path))
            let changed = try Configuration(layers: base(of: path) + [.leaf(path, value)])
            #expect(try changed.tree().differences(from: earlier.tree()) == [path])
            #expect(try changed.tree().value(at: path) == value)
        }
    }

    /// A recipe's values are the defaults of the other settings of augmentation, whatever the order of the layers.
    @Test(arguments: AugmentationRecipe.allCases) func aRecipeHasDefaults(_ recipe: AugmentationRecipe) throws {
        let chosen = JSONValue.leaf(Self.recipe, .string(recipe.rawValue))
        let plain = try Configuration(layers: [chosen])
        var expected = Configuration()
        if let augmentation = Augmentation(recipe) { expected.data.augmentation = augmentation }
        #expect(plain == expected)
        #expect(try Configuration(layers: [plain.tree()]) == plain)
        let grey = JSONValue.leaf("data.augmentation.greyscale", .number(0.75))
        expected.data.augmentation.greyscale = 0.75
        #expect(try Configuration(layers: [grey, chosen]) == expected)
        #expect(try Configuration(layers: [chosen, grey]) == expected)
        if recipe != .none {
            expectInputError("data.augmentation.", "differs", "--output") { _ = try plain.resuming(Configuration()) }
        }
    }

    /// The method's own augmentation gives way to another recipe's, and a method's recipe to `none`.
    @Test func aRecipeReplacesTheMethodsDefaults() throws {
        func augmentation<M: Method>(_ method: M.Type, _ recipe: String) throws -> Augmentation
        where M.Source == ViewSource {
            try Training.Configuration<M>(layers: [.leaf(Self.recipe, .string(recipe))]).data.augmentation
        }
        #expect(try augmentation(BYOL.self, "none") == Augmentation(padCrop: 4, flip: true))
        #expect(try augmentation(BYOL.self, "byol") == Augmentation(.byol))
        #expect(try augmentation(BYOL.self, "byol").padCrop == 0)
        #expect(try augmentation(SimCLR.self, "simclr") == SimCLR.defaults.data.augmentation)
        #expect(try augmentation(SimCLR.self, "none") == Augmentation())
        #expect(try augmentation(SimCLR.self, "multiCrop") == Augmentation(.multiCrop))
    }

    /// As in a run of an earlier version.
    @Test func settingsWithoutNewOnesAreReadAsBefore() throws {
        let earlier = try JSONValue.parse(
            Data("{data: {augmentation: {padCrop: 3, flip: true, jitter: {hue: 0.1}, greyscale: 0.5}}}".utf8))
        var expected = Augmentation(padCrop: 3, flip: true)
        (expected.jitter.hue, expected.greyscale) = (0.1, 0.5)
        #expect(try Configuration(layers: [earlier]).data.augmentation == expected)
    }

    @Test func aProbabilityIsANumberOrAList() throws {
        let path = "data.augmentation.blur.probability"
        #expect(try configuration(path, .number(0.5)).data.augmentation.blur.probability == 0.5)
        #expect(try configuration(path, .number(0.5)).tree().value(at: path) == .number(0.5))
        expectInputError(path + " is []", "a list of one for each view") { try configuration(path, .array([])) }
        expectInputError(path + " is [0.5, 2.0]", "0 to 1") {
            try configuration(path, .array([.number(0.5), .integer(2)]))
        }
    }

    @Test func contradictionsAreRefused() {
        for (estimator, anchor, compatibility, message) in [
            ("jensenShannon", "local", "exact", "only infoNCE has an anchor"),
            ("nwj", "global", "published", "only for infoNCE with anchor global or both"),
            ("infoNCE", "local", "published", "only for infoNCE with anchor global or both"),
        ] {
            expectInputError("objective.", message) {
                try Configuration(layers: [
                    .leaf("objective.estimator", .string(estimator)), .leaf("objective.anchor", .string(anchor)),
                    .leaf("objective.compatibility", .string(compatibility)),
                ])
            }
        }
        expectInputError(
            "all weights of the objective are "
                + "0"
        ) { try configuration("objective.localWeight", .integer(0)) }
    }

    @Test func modelsLargerThanTheMachineAreRefused() throws {
        // 16 bytes each: value, gradient, two moments. A copy that follows has 4.
        let declare = Declarations()
        let (group, _) = declare.group("model", .descends(OptimiserSettings())) {
            $0.parameter("w", [1 << 25], .constant(0))
        }
        let (_, _) = declare.group("copy", .follows(group, Momentum())) { $0.parameter("c", [1 << 25], .constant(0)) }
        try checkMemory(declare, memory: 5 << 27)
        expectInputError("33554432 parameters", "narrower") { try checkMemory(declare, memory: 5 << 27 - 1) }
    }

    /// Of checkpoints.
    @Test func modelsForImpossibleImagesAreRefused() throws {
        for (height, width, channels) in [(0, 4, 1), (4, 4097, 1), (Int.max, Int.max, 1), (4, 4, -1), (4, 4, 65537)] {
            let card = ViewCard(
                height: height, width: width, channels: channels, normalisation: Normalisation(mean: [], deviation: []))
            expectInputError("images of \(height)x\(width)x\(channels)", "sides of 1 to 4096") {
                try Model(Configuration(), card: card, device: Device())
            }
        }
    }

    @Test func laterLayersWin() throws {
        let result = try Configuration(layers: [
            .leaf("batch", .integer(10)), .leaf("steps", .integer(3)), .leaf("batch", .integer(12)),
        ])
        #expect((result.batch, result.steps) == (12, 3))
    }

    @Test(arguments: refused) func valuesOutOfRangeAreRefused(_ path: String, _ value: JSONValue) throws {
        expectInputError(path + " is " + shown(value), "it must be ") { try configuration(path, value) }
    }

    /// Each choice is named to who has mistaken one.
    @Test func choicesAreNamed() {
        expectInputError("objective.estimator", "infoNCE, jensenShannon") {
            try configuration("objective.estimator", .string("nce"))
        }
        expectInputError("optimiser.schedule", "constant, cosine") { try configuration("optimiser.schedule", .null) }
        expectInputError("encoder.kind", "automatic, basic28x28, basic32x32, basic64x64, alex64x64") {
            try configuration("encoder.kind", .integer(1))
        }
    }

    @Test(arguments: Array(others.keys)) func wrongTypesAreRefused(_ path: String) throws {
        guard let right = Self.others[path] else { return }
        for wrong in [
            JSONValue.null, .boolean(true), .integer(3), .number(2.5), .string("text"), .array([.integer(1)]),
            .object(["part": .integer(1)]),
        ] {
            switch (right, wrong) {
            case (.boolean, .boolean), (.integer, .integer), (.number, .number), (.array, .array): continue
            case (.number, .integer), (.unsigned, .integer): continue
            case (.string, .string) where path == "data.path": continue
            default: break
            }
            expectInputError(path + " is " + shown(wrong), "it must be ") { try configuration(path, wrong) }
        }
    }

    /// Of several settings, one that is right isn't blamed.
    @Test func theWrongSettingIsNamed() {
        expectInputError("steps is 2.5: it must be a whole number") {
            try Configuration(layers: [
                .leaf("batch", .integer(64)), .leaf("steps", .number(2.5)), .leaf("seed", .integer(1)),
            ])
        }
    }

    @Test func unknownSettingsAreRefused() {
        expectInputError("unknown setting critic.unit", "critic.units") {
            try configuration("critic.unit", .integer(4))
        }
        expectInputError("unknown setting stepz", "steps") { try configuration("stepz", .integer(4)) }
        expectInputError("setting critic must be an object", "units") { try configuration("critic", .integer(4)) }
        expectInputError("the file must be an object", "batch") { try Configuration(layers: [.integer(4)]) }
    }

    @Test func aRunKeepsWhatDecidedItsSteps() throws {
        let changeable: Set = [
            "steps", "threads", "data.path", "data.skipBroken", "checkpoint.every", "checkpoint.keep", "optimiser.rate",
            "objective.prior.optimiser.rate", "microBatch", "stallTimeout", "precision", "exchange", "data.ahead",
        ]
        for (path, value) in Self.others {
            let earlier = try Configuration(layers: base(of: path))
            let changed = try Configuration(layers: base(of: path) + [.leaf(path, value)])
            if changeable.contains(path) {
                #expect(try changed.resuming(earlier) == changed)
            } else {
                expectInputError(path + " differs", "--output") { _ = try changed.resuming(earlier) }
            }
        }
        #expect(try Configuration().resuming(Configuration()) == Configuration())
        // Automatic settings keep the values found earlier.
        var found = Configuration()
        found.encoder.kind = .basic28x28
        found.data.virtualShards = 32
        #expect(try Configuration().resuming(found) == found)
    }

    @Test func threadsAreThoseOfOpenMP() throws {
        for (text, threads) in [("3", 3), (" 2 ", 2), ("4,2", 4), ("", 1)] {
            #expect(try RunSettings.threads(asked: 0, environment: ["OMP_NUM_THREADS": text]) == threads)
        }
        #expect(try RunSettings.threads(asked: 0, environment: [:]) == 1)
        for text in ["abc", "0", "-1", "1025", "2.5", ",2"] {
            #expect { try RunSettings.threads(asked: 0, environment: ["OMP_NUM_THREADS": text]) } throws: {
                "\($0)".contains("OMP_NUM_THREADS is \"\(text)\"")
            }
            #expect(try RunSettings.threads(asked: 5, environment: ["OMP_NUM_THREADS": text]) == 5)
        }
    }
}
