import Collectives
import Datasets
import Foundation
import Layers
import Methods
import Tensors
import Testing

@testable import Training

/// One after another: a checkpoint of the smallest model takes 80 MB.
@Suite(.serialized) struct CheckpointTests {
    private static let card = ViewCard(
        height: 28, width: 28, channels: 1, normalisation: Normalisation(mean: [0.1307], deviation: [0.3081]))

    /// A model with all that its groups keep, as a run has it.
    private struct Trained {
        let model: Model

        init(seed: Int) throws {
            let configuration = try Configuration(layers: [
                .leaf("critic.units", .integer(2)), .leaf("encoder.code", .integer(3)), .leaf("seed", .integer(seed)),
                .leaf("objective.prior.weight", .number(0.1)),
            ])
            model = try Model(configuration, card: CheckpointTests.card, device: Device())
        }

        var groups: [ParameterGroup] { model.store.groups }
        var arrays: [Tensor] { groups.flatMap { [$0.parameters.values] + $0.slots } }

        /// Other values everywhere, among them those that a decimal number would lose.
        func scramble() {
            for (groupPlace, group) in groups.enumerated() {
                for (index, parameter) in group.parameters.parameters.enumerated() {
                    parameter.value.base[parameter.value.count - 1] = Float(bitPattern: 0x7FC0_1234 + UInt32(index))
                    parameter.value.base[0] = -0.0
                    let start = parameter.value.base - group.parameters.values.base
                    for i in start..<start + parameter.value.count {
                        group.slots[0].base[i] = Float(index) + 0x1p-20 * Float(i & 1023)
                        group.slots[1].base[i] = .leastNonzeroMagnitude * Float(i & 1023)
                    }
                }
                group.updates = 12345 + groupPlace
            }
            for (index, state) in model.store.states.enumerated() {
                state.values = state.values.indices.map { Float($0) / 3 - Float(index) }
            }
        }

        func isSame(as other: Trained) -> Bool {
            arrays.count == 6 && zip(arrays, other.arrays).allSatisfy { isSameBits($0.elements, $1.elements) }
                && model.store.states.map(\.values) == other.model.store.states.map(\.values)
                && groups.map(\.updates) == other.groups.map(\.updates)
        }
    }

    private func write(
        _ trained: Trained, step: Int, to store: CheckpointStore, keep: Int = 9, loss: Double? = nil
    ) throws {
        let writer = CheckpointWriter(
            store, method: DeepInfoMax.name, store: trained.model.store, card: try JSONValue(of: Self.card), keep: keep,
            ranks: SingleRank(), owned: trained.arrays.map(\.elements), warn: { Issue.record("\($0)") })
        try writer.start(step: step, loss: loss)
        #expect(try writer.finish() == nil)
    }

    private static func replacing(_ old: String, by new: String, in text: Data) -> Data {
        let before = String(decoding: text, as: UTF8.self)
        #expect(before.contains(old))
        return Data(before.replacingOccurrences(of: old, with: new).utf8)
    }

    private func names(_ store: CheckpointStore) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: store.folder).sorted()
    }

    @Test func everythingComesBackBitForBit() throws {
        let folder = try TemporaryFolder()
        let store = CheckpointStore(run: folder.path)
        let before = try Trained(seed: 1)
        before.scramble()
        try write(before, step: 7, to: store)
        #expect(try names(store) == ["step-00000007"])

        let after = try Trained(seed: 2)
        #expect(!after.isSame(as: before))
        let checkpoint = try #require(try store.newest { Issue.record("\($0)") })
        #expect(checkpoint.step == 7)
        #expect(try checkpoint.card() == Self.card)
        try checkpoint.restore(after.model.store)
        try checkpoint.restoreRules(after.model.store)
        #expect(after.isSame(as: before))
    }

    /// Others read these by name.
    @Test func arraysBearModulePaths() throws {
        let folder = try TemporaryFolder()
        try write(try Trained(seed: 1), step: 0, to: CheckpointStore(run: folder.path))
        func header(_ name: String) throws -> [String: [String: Any]] {
            let url = URL(fileURLWithPath: "\(folder.path)/checkpoints/step-00000000/\(name)")
            let data = try Data(contentsOf: url, options: .alwaysMapped)
            let length = data.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
            return try #require(
                try JSONSerialization.jsonObject(with: data[8..<8 + length]) as? [String: [String: Any]])
        }
        let model = try header("model.safetensors")
        for (name, shape) in [
            ("encoder.conv1.weight", [64, 1, 5, 5]), ("encoder.conv2.weight", [128, 64, 5, 5]),
            ("encoder.norm1.running_mean", [64]), ("encoder.norm2.running_var", [128]),
            ("encoder.fc.weight", [1024, 7 * 7 * 128]), ("encoder.code.bias", [3]),
            ("critic.local.first.weight", [2, 128]), ("critic.global.last.weight", [2, 2]),
        ] {
            #expect(model[name]?["shape"] as? [Int] == shape, "\(name)")
        }
        let optimiser = try header("optimiser.safetensors")
        #expect(optimiser["second_moment.encoder.code.bias"]?["shape"] as? [Int] == [3])
        let metadata = try #require(model["__metadata__"] as? [String: String])
        #expect(metadata["method"] == "deepInfoMax")
        let card = try JSONValue.parse(Data(#require(metadata["card"]).utf8))
        #expect(try card == JSONValue(of: Self.card))
        let parameters = model.keys.filter { !$0.contains(".running_") && $0 != "__metadata__" }
        #expect(
            Set(optimiser.keys)
                == Set(parameters.flatMap { ["first_moment." + $0, "second_moment." + $0] }))
    }

    @Test func theNewestAreKept() throws {
        let folder = try TemporaryFolder()
        let store = CheckpointStore(run: folder.path)
        let trained = try Trained(seed: 1)
        #expect(try store.steps == [])
        for step in [5, 100, 20] { try write(trained, step: step, to: store, keep: 2) }
        #expect(try store.steps == [20, 100])
        try write(trained, step: 101, to: store, keep: 1)
        #expect(try names(store) == ["step-00000101"])
        for group in trained.groups { group.updates = 77 }
        try write(trained, step: 101, to: store, keep: 1)  // over the same step
        #expect(try store.newest { Issue.record("\($0)") }?.updates["adversary"] == 77)
    }

    @Test func theBestIsKeptBesideTheNewest() throws {
        let folder = try TemporaryFolder()
        let store = CheckpointStore(run: folder.path)
        let trained = try Trained(seed: 1)
        #expect(store.best == nil)
        for (step, loss) in [(1, 3.0), (2, 1.5), (3, 2.0), (4, 2.5)] as [(Int, Double?)] + [(5, nil)] {
            try write(trained, step: step, to: store, keep: 1, loss: loss)
        }
        #expect(try store.steps == [2, 5])
        #expect(store.best == 2)
        try write(trained, step: 6, to: store, keep: 1, loss: 1.25)
        #expect(try store.steps == [6])
    }

    @Test func whatIsHalfWrittenIsNoCheckpoint() throws {
        let folder = try TemporaryFolder()
        let store = CheckpointStore(run: folder.path)
        #expect(try store.newest { Issue.record("\($0)") } == nil)
        for name in [".writing-9", "step-00000009", "step-abc", "step-", "other"] {
            try FileManager.default.createDirectory(
                atPath: "\(store.folder)/\(name)", withIntermediateDirectories: true)
            try folder.write("checkpoints/\(name)/model.safetensors", "half")
        }
        try folder.write("checkpoints/.writing-9/manifest.json", "{}")
        #expect(try store.steps == [])
        var warnings: [String] = []
        #expect(try store.newest { warnings.append($0) } == nil)
        #expect(warnings.count == 1 && warnings[0].contains("step-00000009 has no manifest"), "\(warnings)")

        try write(try Trained(seed: 1), step: 9, to: store)
        #expect(try store.steps == [9])
        #expect(try store.newest { Issue.record("\($0)") }?.step == 9)
        #expect(try !names(store).contains(".writing-9"))
    }

    @Test func aDamagedNewestIsPassedOver() throws {
        let folder = try TemporaryFolder()
        let store = CheckpointStore(run: folder.path)
        let older = try Trained(seed: 1)
        try write(older, step: 3, to: store)
        try write(try Trained(seed: 2), step: 12, to: store)

        let damages: [(file: String, said: String, change: (inout Data) -> Void)] = [
            ("model.safetensors", "truncated", { $0.removeLast() }),
            ("model.safetensors", "truncated", { $0.removeAll() }),
            ("model.safetensors", "checksum", { $0[$0.count / 2] ^= 0x10 }),
            ("optimiser.safetensors", "checksum", { $0[$0.count - 1] ^= 1 }),
            ("optimiser.safetensors", "truncated", { $0.append(0) }),
            ("manifest.json", "damaged", { $0.removeLast(20) }),
            ("manifest.json", "damaged", { $0.removeAll() }),
            // A digit of values that are in no other file: Adam's number of updates, and a mean of the images.
            ("manifest.json", "damaged", { $0 = Self.replacing("\"adversary\" : 0", by: "\"adversary\" : 1", in: $0) }),
            ("manifest.json", "damaged", { $0 = Self.replacing("0.1307", by: "0.1317", in: $0) }),
        ]
        for (file, said, change) in damages {
            let url = URL(fileURLWithPath: "\(store.folder)/step-00000012/\(file)")
            let whole = try Data(contentsOf: url)
            var damaged = whole
            change(&damaged)
            try damaged.write(to: url)
            var warnings: [String] = []
            let loaded = try #require(try store.newest { warnings.append($0) })
            #expect(loaded.step == 3, "\(file) \(said)")
            #expect(warnings.count == 1)
            #expect(warnings.allSatisfy { $0.contains("step-00000012/\(file)") && $0.contains(said) }, "\(warnings)")
            try whole.write(to: url)
        }
        #expect(try store.newest { Issue.record("\($0)") }?.step == 12)

        let restored = try Trained(seed: 4)
        try FileManager.default.removeItem(atPath: "\(store.folder)/step-00000012/optimiser.safetensors")
        let loaded = try #require(try store.newest { #expect($0.contains("can't be read")) })
        try loaded.restore(restored.model.store)
        #expect(
            isSameBits(restored.arrays[0].elements, older.arrays[0].elements))

        try folder.write("checkpoints/step-00000003/model.safetensors", "")
        var warnings: [String] = []
        expectInputError("all checkpoints in \(store.folder) are damaged", "step-00000003/model.safetensors") {
            try store.newest { warnings.append($0) }
        }
        #expect(warnings.count == 2)
    }

    /// Or it would count as one of the newest, and perhaps as the best, for ever.
    @Test func whatWasPassedOverIsSetAside() throws {
        let folder = try TemporaryFolder()
        let store = CheckpointStore(run: folder.path)
        let trained = try Trained(seed: 1)
        for (step, loss) in [(3, 2.0), (6, 1.0)] { try write(trained, step: step, to: store, loss: loss) }
        try folder.write("checkpoints/step-00000006/model.safetensors", "")
        try FileManager.default.createDirectory(
            atPath: store.folder + "/step-00000009", withIntermediateDirectories: true)
        var warnings: [String] = []
        let loaded = try #require(try store.newest { warnings.append($0) })
        #expect(loaded.step == 3)
        #expect(warnings.count == 2 && warnings[0].contains("step-00000009 has no manifest"), "\(warnings)")
        try store.setAside(after: loaded.step)
        #expect(
            try names(store) == ["damaged-step-00000006", "damaged-step-00000009", "step-00000003"])
        #expect(try store.steps == [3])
        #expect(store.best == 3)
    }

    @Test func anotherModelIsRefused() throws {
        let folder = try TemporaryFolder()
        let store = CheckpointStore(run: folder.path)
        try write(try Trained(seed: 1), step: 1, to: store)
        let checkpoint = try #require(try store.newest { Issue.record("\($0)") })
        for (setting, value) in [
            ("critic.units", JSONValue.integer(5)), ("objective.estimator", .string("jensenShannon")),
        ] {
            let configuration = try Configuration(layers: [
                .leaf("critic.units", .integer(2)), .leaf("encoder.code", .integer(3)), .leaf(setting, value),
                .leaf("objective.prior.weight", .number(0.1)),
            ])
            let other = try Model(configuration, card: Self.card, device: Device())
            expectInputError("step-00000001/model.safetensors", "critic.") { try checkpoint.restore(other.store) }
        }
    }
}
