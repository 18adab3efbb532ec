import CZlib
import Collectives
import Foundation
import Layers
import Tensors

/// The list of contents that makes a checkpoint whole. Written last, so a folder without it is not a checkpoint.
struct CheckpointManifest: Codable {
    struct File: Codable {
        let name: String
        let bytes: Int
        /// zlib's CRC-32.
        let crc32: UInt32
    }

    var format = 1
    let step: Int
    /// Adam's count of updates: fewer than steps when some were skipped.
    let updates: Int
    let card: ModelCard
    let files: [File]
}

/// Where the checkpoints of a run are. Nothing in one depends on the world size.
package struct CheckpointStore {
    let folder: String
    private static let manifestName = "manifest.json"
    private static let modelName = "model.safetensors"
    private static let optimiserName = "optimiser.safetensors"

    package init(run: String) { folder = run + "/checkpoints" }

    func path(_ step: Int) -> String {
        let digits = String(step)
        return "\(folder)/step-\(String(repeating: "0", count: max(0, 8 - digits.count)))\(digits)"
    }

    /// Steps of which there is a finished checkpoint, oldest first.
    package var steps: [Int] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.compactMap { name in
            guard name.hasPrefix("step-"), let step = Int(name.dropFirst(5)), step >= 0,
                FileManager.default.fileExists(atPath: "\(folder)/\(name)/\(Self.manifestName)")
            else { return nil }
            return step
        }.sorted()
    }

    /// Writes a checkpoint whole or not at all: into a temporary folder, forced to disk, renamed. Then removes all
    /// but the newest `keep`. For one rank.
    func write(step: Int, model: Model, optimisers: [Adam], card: ModelCard, keep: Int) throws {
        let files = FileManager.default
        let final = path(step)
        let temporary = "\(folder)/.writing-\(step)"
        for name in (try? files.contentsOfDirectory(atPath: folder)) ?? [] where name.hasPrefix(".writing-") {
            try? files.removeItem(atPath: "\(folder)/\(name)")  // of a run that was killed
        }
        try files.createDirectory(atPath: temporary, withIntermediateDirectories: true)
        defer { try? files.removeItem(atPath: temporary) }
        let states = model.stateArrays
        let written = [
            try write(model.arrays + states.arrays, to: temporary, Self.modelName),
            try write(model.moments(of: optimisers), to: temporary, Self.optimiserName),
        ]
        states.release()
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        let manifest = CheckpointManifest(step: step, updates: optimisers[0].updates, card: card, files: written)
        try DurableFile.write(try encoder.encode(manifest), to: "\(temporary)/\(Self.manifestName)")
        try DurableFile.synchronise(folder: temporary)
        try? files.removeItem(atPath: final)  // the same step, written by a run that was resumed from before it
        try DurableFile.rename(temporary, to: final)
        try DurableFile.synchronise(folder: folder)
        for old in steps.dropLast(keep) where old != step { try? files.removeItem(atPath: path(old)) }
    }

    private func write(_ arrays: [NamedArray], to folder: String, _ name: String) throws -> CheckpointManifest.File {
        let header = try SafeTensors.header(arrays)
        return try header.withUnsafeBytes { header in
            let pieces = [header] + arrays.map { UnsafeRawBufferPointer($0.values) }
            try DurableFile.write(pieces, to: "\(folder)/\(name)")
            return CheckpointManifest.File(
                name: name, bytes: pieces.reduce(0) { $0 + $1.count }, crc32: checksum(pieces))
        }
    }

    /// The newest checkpoint that is whole; damaged ones are named to `warn` and passed over. nil when there is none.
    /// - Throws: `InputError` when there are some and all are damaged.
    package func newest(warn: (String) -> Void) throws -> LoadedCheckpoint? {
        var problem: (any Error)?
        for step in steps.reversed() {
            do { return try load(step) } catch {
                warn("checkpoint passed over: \(error)")
                problem = error
            }
        }
        if let problem { throw InputError("no whole checkpoint in \(folder); the oldest failed with: \(problem)") }
        return nil
    }

    /// Reads a checkpoint and holds it against its checksums.
    package func load(_ step: Int) throws -> LoadedCheckpoint {
        let place = path(step)
        func contents(_ name: String) throws -> Foundation.Data {
            do {
                return try Foundation.Data(contentsOf: URL(fileURLWithPath: "\(place)/\(name)"), options: .alwaysMapped)
            } catch {
                throw InputError("\(place)/\(name) can't be read: \(error.localizedDescription)")
            }
        }
        guard
            let manifest = try? JSONDecoder().decode(
                CheckpointManifest.self, from: try contents(Self.manifestName)),
            manifest.format == 1, manifest.step == step
        else { throw InputError("\(place)/\(Self.manifestName) is damaged or of another version") }
        try manifest.card.normalisation.check(channels: manifest.card.channels)
        var data: [String: Foundation.Data] = [:]
        for file in manifest.files {
            let bytes = try contents(file.name)
            guard bytes.count == file.bytes else {
                throw InputError("\(place)/\(file.name) has \(bytes.count) bytes, expected \(file.bytes): truncated")
            }
            guard bytes.withUnsafeBytes({ checksum([$0]) }) == file.crc32 else {
                throw InputError("\(place)/\(file.name) fails its checksum: damaged")
            }
            data[file.name] = bytes
        }
        guard let model = data[Self.modelName], let optimiser = data[Self.optimiserName] else {
            throw InputError("\(place)/\(Self.manifestName) lacks \(Self.modelName) or \(Self.optimiserName)")
        }
        return LoadedCheckpoint(
            folder: place, step: step, updates: manifest.updates, card: manifest.card, model: model,
            optimiser: optimiser)
    }
}

/// A checkpoint whose checksums held.
package struct LoadedCheckpoint {
    package let folder: String
    package let step: Int
    let updates: Int
    package let card: ModelCard
    fileprivate let model: Foundation.Data
    fileprivate let optimiser: Foundation.Data

    /// Sets a model's parameters and states. Throws `InputError` when it has other arrays.
    package func restore(_ model: Model) throws {
        let states = model.stateArrays
        defer { states.release() }
        try SafeTensors.read(self.model, file: "\(folder)/model.safetensors", into: model.arrays + states.arrays)
        for (state, array) in zip(model.states, states.arrays) { state.values = Array(array.values) }
    }

    /// Sets the moments of the optimisers of a model's parameter sets.
    func restore(_ optimisers: [Adam], of model: Model) throws {
        try SafeTensors.read(
            self.optimiser, file: "\(folder)/optimiser.safetensors", into: model.moments(of: optimisers))
        for optimiser in optimisers { optimiser.updates = updates }
    }
}

extension Model {
    package var states: [StateArray] { parameterSets.flatMap(\.states) }

    /// Copies of the states, with what frees them.
    fileprivate var stateArrays: (arrays: [NamedArray], release: () -> Void) {
        let arrays = states.map { state in
            let copy = UnsafeMutableBufferPointer<Float>.allocate(capacity: state.values.count)
            _ = copy.initialize(fromContentsOf: state.values)
            return NamedArray(name: state.name, shape: [state.values.count], values: copy)
        }
        return (arrays, { for array in arrays { array.values.deallocate() } })
    }

    fileprivate func moments(of optimisers: [Adam]) -> [NamedArray] {
        zip(parameterSets, optimisers).flatMap { set, optimiser in
            [("first_moment", optimiser.mean), ("second_moment", optimiser.square)].flatMap { name, flat in
                set.parameters.map { parameter in
                    let start = parameter.value.base - set.values.base
                    return NamedArray(
                        name: "\(name).\(parameter.name)", shape: parameter.shape,
                        values: flat.view(from: start, shape: parameter.shape).elements)
                }
            }
        }
    }
}

private func checksum(_ pieces: [UnsafeRawBufferPointer]) -> UInt32 {
    UInt32(
        pieces.reduce(crc32_z(0, nil, 0)) {
            crc32_z($0, $1.bindMemory(to: UInt8.self).baseAddress, $1.count)
        })
}
