import Collectives
import Datasets
import Methods
import Testing

@testable import Training

/// Rules for the settings of every method.
struct MethodSettingsTests {
    /// A new setting fails here until it has a line of help.
    @Test(arguments: MethodKind.allCases) func everySettingHasALineOfHelp(_ kind: MethodKind) throws {
        func check<M: Method>(_ method: M.Type) throws {
            #expect(M.name == kind.rawValue)
            let defaults = try M.defaults.tree()
            #expect(Training.Configuration<M>.help.keys.sorted() == defaults.leaves)
            #expect(Training.Configuration<M>.help.values.allSatisfy { !$0.isEmpty && !$0.contains("\n") })
            // Defaults are settings like any others.
            #expect(try Training.Configuration<M>(layers: []) == M.defaults)
            #expect(try Training.Configuration<M>(layers: [defaults]) == M.defaults)
            // Every changeable path is a setting.
            for path in M.Settings.wholeChangeable { #expect(defaults.leaves.contains(path), "\(path)") }
            for path in M.Settings.wholeExpectations.keys { #expect(defaults.leaves.contains(path), "\(path)") }
        }
        try check(kind.type)
    }

    /// Whitening filters come from the data, so every method of images must ask for their covariance.
    @Test(arguments: MethodKind.allCases) func dataServeTheFastEncoder(_ kind: MethodKind) throws {
        func check<M: Method>(_ method: M.Type) throws {
            for encoder in ["fast", "automatic"] {
                let configuration = try Training.Configuration<M>(layers: [.leaf("encoder.kind", .string(encoder))])
                let recipe = try M.recipe(configuration.method, configuration.data)
                let views = try #require(recipe as? ViewRecipe)
                #expect(views.needsPatchCovariance == (encoder == "fast"))
            }
        }
        try check(kind.type)
    }

    @Test(arguments: MethodKind.allCases) func runsGoOnWithALowerRate(_ kind: MethodKind) throws {
        func check<M: Method>(_ method: M.Type) throws {
            let changed = try Training.Configuration<M>(layers: [
                .leaf("optimiser.rate", .number(1e-6)), .leaf("steps", .integer(3)), .leaf("data.path", .string("/x")),
            ])
            #expect(try changed.resuming(M.defaults) == changed)
            for setting in ["seed", "batch", "optimiser.warmupSteps", "encoder.code"] {
                let other = try Training.Configuration<M>(layers: [.leaf(setting, .integer(77))])
                expectInputError("\(setting) differs") { try other.resuming(M.defaults) }
            }
        }
        try check(kind.type)
    }

    @Test func theMethodIsPickedByTheLastThatSaysIt() throws {
        #expect(try MethodKind(layers: []) == .deepInfoMax)
        #expect(try MethodKind(layers: [.leaf("batch", .integer(4))]) == .deepInfoMax)
        let byol = JSONValue.leaf("method", .string("byol"))
        #expect(try MethodKind(layers: [byol, .leaf("batch", .integer(4))]) == .byol)
        #expect(try MethodKind(layers: [byol, .leaf("method", .string("factorVAE"))]) == .factorVAE)
        expectInputError("method is byoll", "one of deepInfoMax, ", "did you mean byol?") {
            try MethodKind(layers: [.leaf("method", .string("byoll"))])
        }
        expectInputError("method is 3", "deepInfoMax") { try MethodKind(layers: [.leaf("method", .integer(3))]) }
    }

    @Test func settingsOfOtherMethodsAreRefusedByName() throws {
        for (kind, setting, owner) in [
            (MethodKind.deepInfoMax, "momentum.start", "byol"), (.deepInfoMax, "gamma", "factorVAE"),
            (.byol, "critic.units", "deepInfoMax"), (.factorVAE, "objective", "deepInfoMax"),
        ] {
            expectInputError("\(setting) belongs to method \(owner)", "method is \(kind.rawValue)") {
                try kind.refuseOthers([.leaf(setting, .number(0.5))])
            }
        }
        // A setting that no method has is refused by the method itself, which knows the nearest.
        try MethodKind.byol.refuseOthers([.leaf("momentm", .number(0.5)), .leaf("encoder.code", .integer(3))])
    }

    @Test func settingsOutOfRangeAreRefused() throws {
        func refused<M: Method>(_ method: M.Type, _ path: String, _ value: JSONValue) {
            expectInputError("\(path) is ", "must be") { try Training.Configuration<M>(layers: [.leaf(path, value)]) }
        }
        for (path, value) in [
            ("momentum.start", JSONValue.number(1.5)), ("momentum.end", .number(-0.1)),
            ("projector.hidden", .integer(0)),
            ("predictor.width", .integer(7)), ("predictor.hidden", .integer(1 << 17)), ("optimiser.rate", .integer(0)),
        ] { refused(BYOL.self, path, value) }
        for (path, value) in [
            ("gamma", JSONValue.integer(-1)), ("discriminator.layers", .integer(0)),
            ("discriminator.units", .integer(0)),
            ("discriminator.times", .integer(0)), ("decoder.channels", .integer(0)), ("encoder.code", .integer(0)),
            ("discriminator.optimiser.rate", .integer(0)),
        ] { refused(FactorVAE.self, path, value) }
    }
}
