import CZlib
import Collectives
import Datasets
import Foundation

/// The list of contents of a checkpoint. It is written last, so a folder without it is not a checkpoint.
struct CheckpointManifest: Codable {
    struct File: Codable {
        let name: String
        let bytes: Int
        /// zlib's CRC-32.
        let crc32: UInt32
    }

    /// Format 1 had no checksum of its own. Format 2 had one number of updates for all groups.
    var format = 3
    /// `Reading.version` of the program that wrote it; nil before version 2.
    private(set) var reading: Int? = Reading.version
    /// Checksum of this file without the line of the checksum.
    private(set) var crc32: UInt32?
    let step: Int
    /// Name of the method; nil before format 3, when there was only one method.
    let method: String?
    let updates: UpdateCounts
    /// Mean loss of the steps since the checkpoint before; nil where there were none.
    let loss: Double?
    /// The card of the data, by the method's source of data.
    let card: JSONValue
    let files: [File]

    init(step: Int, method: String, updates: UpdateCounts, loss: Double?, card: JSONValue, files: [File]) {
        self.step = step
        self.method = method
        self.updates = updates
        self.loss = loss
        self.card = card
        self.files = files
    }

    /// The file's bytes, with its checksum.
    func sealed() throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        var result = self
        result.crc32 = nil
        result.crc32 = try encoder.encode(result).withUnsafeBytes { checksum($0) }
        return try encoder.encode(result)
    }

    /// Whether the file is as it was written.
    func isSound(in file: Data) -> Bool {
        guard updates.areCounts, reading ?? 1 >= 1 else { return false }
        guard (2...3).contains(format), let crc32 else { return format == 1 && crc32 == nil }
        var rest = file
        guard let line = rest.range(of: Data("  \"crc32\" : \(crc32),\n".utf8)) else { return false }
        rest.removeSubrange(line)
        return rest.withUnsafeBytes { checksum($0) } == crc32
    }
}

/// Number of updates of each group of parameters. It is below the number of steps when some were skipped.
enum UpdateCounts: Codable, Equatable, Sendable {
    case byGroup([String: Int])
    /// Before format 3.
    case ofAll(Int)

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let count = try? container.decode(Int.self) {
            self = .ofAll(count)
        } else {
            self = .byGroup(try container.decode([String: Int].self))
        }
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .byGroup(let counts): try container.encode(counts)
        case .ofAll(let count): try container.encode(count)
        }
    }

    /// Updates of a group; nil where the group isn't known.
    subscript(group: String) -> Int? {
        switch self {
        case .byGroup(let counts): counts[group]
        case .ofAll(let count): count
        }
    }

    fileprivate var areCounts: Bool {
        switch self {
        case .byGroup(let counts): counts.values.allSatisfy { $0 >= 0 }
        case .ofAll(let count): count >= 0
        }
    }
}

/// The checkpoints of a run. Nothing in one depends on the world size.
package struct CheckpointStore {
    static let modelName = "model.safetensors"
    static let optimiserName = "optimiser.safetensors"
    let folder: String
    private static let manifestName = "manifest.json"

    package init(run: String) { folder = run + "/checkpoints" }

    func path(_ step: Int) -> String {
        let digits = String(step)
        return "\(folder)/step-\(String(repeating: "0", count: max(0, 8 - digits.count)))\(digits)"
    }

    /// Steps with a finished checkpoint, oldest first.
    /// - Throws: `InputError` when the folder exists but can't be read, which must not be taken for an empty one.
    package var steps: [Int] {
        get throws { try folders.filter { hasManifest($0) } }
    }

    private func hasManifest(_ step: Int) -> Bool { access("\(path(step))/\(Self.manifestName)", F_OK) == 0 }

    /// Steps that have a folder, finished or not, oldest first.
    var folders: [Int] {
        get throws {
            guard access(folder, F_OK) == 0 || errno != ENOENT else { return [] }
            let names: [String]
            do { names = try FileManager.default.contentsOfDirectory(atPath: folder) } catch {
                throw InputError("\(folder) can't be read: \(error.localizedDescription)")
            }
            return names.compactMap { name in
                guard name.hasPrefix("step-"), let step = Int(name.dropFirst(5)), step >= 0 else { return nil }
                return step
            }.sorted()
        }
    }

    /// The step of the checkpoint with the least mean loss; nil where none has one.
    package var best: Int? {
        let losses = ((try? steps) ?? []).compactMap { step in
            (try? manifest(step).loss).flatMap { $0 }.map { (step, $0) }
        }
        return losses.min { $0.1 < $1.1 }?.0
    }

    // MARK: - Writing, for one rank

    /// The folder in which a checkpoint is written before it gets its name.
    func temporaryPath(_ step: Int) -> String { "\(folder)/.writing-\(step)" }

    /// Makes the temporary folder, and removes those that earlier runs left.
    func prepare(_ step: Int) throws {
        let files = FileManager.default
        for name in (try? files.contentsOfDirectory(atPath: folder)) ?? [] where name.hasPrefix(".writing-") {
            try? files.removeItem(atPath: "\(folder)/\(name)")
        }
        try makeFolder(temporaryPath(step))
    }

    /// Makes a checkpoint of the files in the temporary folder, which are already on the disk. It is complete or not
    /// made at all. Then removes all checkpoints but the newest `keep` and the best.
    /// - Returns: why an old one couldn't be removed; nil where all went well.
    @discardableResult
    func seal(_ manifest: CheckpointManifest, keep: Int) throws -> String? {
        let temporary = temporaryPath(manifest.step)
        let final = path(manifest.step)
        try DurableFile.write(try manifest.sealed(), to: "\(temporary)/\(Self.manifestName)")
        try DurableFile.synchronise(folder: temporary)
        // There may be a checkpoint of the same step, by a run that continued from an earlier one. Its manifest goes
        // first.
        try? FileManager.default.removeItem(atPath: "\(final)/\(Self.manifestName)")
        try? FileManager.default.removeItem(atPath: final)
        try DurableFile.rename(temporary, to: final)
        try DurableFile.synchronise(folder: folder)
        let best = best
        var problem: String?
        for old in try steps.dropLast(keep) where old != manifest.step && old != best {
            do { try FileManager.default.removeItem(atPath: path(old)) } catch {
                problem =
                    "the old checkpoint \(path(old)) can't be removed, and later ones may not be either: "
                    + "\(error.localizedDescription)"
            }
        }
        return problem
    }

    /// Removes the files of a checkpoint that failed.
    func discard(_ step: Int) { try? FileManager.default.removeItem(atPath: temporaryPath(step)) }

    // MARK: - Reading

    /// The newest undamaged checkpoint; nil when there is none. Damaged ones are skipped with a warning.
    /// - Throws: `InputError` when there are checkpoints but all are damaged.
    package func newest(warn: (String) -> Void) throws -> LoadedCheckpoint? {
        var problem: (any Error)?
        for step in try folders.reversed() {
            guard hasManifest(step) else {
                warn("skipped a checkpoint: \(path(step)) has no \(Self.manifestName)")
                continue
            }
            do { return try load(step) } catch {
                warn("skipped a checkpoint: \(error)")
                problem = error
            }
        }
        if let problem { throw InputError("all checkpoints in \(folder) are damaged; the oldest: \(problem)") }
        return nil
    }

    /// Renames damaged checkpoints after a step to `damaged-step-N`, so that none of them counts as one of the newest
    /// or as the best. For one rank.
    func setAside(after step: Int) throws {
        for damaged in try folders where damaged > step {
            let name = URL(fileURLWithPath: path(damaged)).lastPathComponent
            try? FileManager.default.removeItem(atPath: "\(folder)/damaged-\(name)")
            try DurableFile.rename(path(damaged), to: "\(folder)/damaged-\(name)")
        }
    }

    /// Reads a checkpoint and verifies its checksums.
    package func load(_ step: Int) throws -> LoadedCheckpoint {
        let checkpoint = path(step)
        let manifest = try manifest(step)
        var data: [String: Data] = [:]
        for name in [Self.modelName, Self.optimiserName] {
            guard let file = manifest.files.first(where: { $0.name == name }) else {
                throw InputError("\(checkpoint)/\(Self.manifestName) lacks \(name): damaged")
            }
            let bytes = try contents("\(checkpoint)/\(name)")
            guard bytes.count == file.bytes else {
                throw InputError("\(checkpoint)/\(name) has \(bytes.count) bytes, expected \(file.bytes): truncated")
            }
            guard bytes.withUnsafeBytes({ checksum($0) }) == file.crc32 else {
                throw InputError("\(checkpoint)/\(name) has a wrong checksum: damaged")
            }
            data[name] = bytes
        }
        return LoadedCheckpoint(
            folder: checkpoint, step: step, method: manifest.method, reading: manifest.reading ?? 1,
            updates: manifest.updates, card: manifest.card, model: data[Self.modelName]!,
            optimiser: data[Self.optimiserName]!)
    }

    private func manifest(_ step: Int) throws -> CheckpointManifest {
        let path = "\(path(step))/\(Self.manifestName)"
        let file = try contents(path)
        guard let manifest = try? JSONDecoder().decodeForeign(CheckpointManifest.self, from: file),
            manifest.step == step, manifest.isSound(in: file)
        else { throw InputError("\(path) is damaged or of another version") }
        return manifest
    }

    private func contents(_ path: String) throws -> Data {
        do { return try Data(contentsOf: URL(fileURLWithPath: path), options: .alwaysMapped) } catch {
            throw InputError("\(path) can't be read: \(error.localizedDescription)")
        }
    }
}

/// zlib's CRC-32.
func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
    UInt32(crc32_z(0, bytes.bindMemory(to: UInt8.self).baseAddress, bytes.count))
}

/// The checksum of two byte sequences joined, from the checksum of each.
func checksum(_ first: UInt32, followedBy second: UInt32, bytes: Int) -> UInt32 {
    UInt32(crc32_combine(uLong(first), uLong(second), bytes))
}
