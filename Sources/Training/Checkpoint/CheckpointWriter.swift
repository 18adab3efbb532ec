import Collectives
import Foundation
import Layers
import Tensors

/// Writes checkpoints while training continues.
///
/// Nothing is gathered. Each rank copies the parameters and moments that it owns, and a background thread writes them
/// at their offsets in the files. The votes of each step say whether all ranks have finished. Then rank 0 makes a
/// checkpoint of the files. If a checkpoint can't be written, training continues: the problem is reported, and another
/// is tried soon.
final class CheckpointWriter {
    /// This rank's vote of a step: whether it has written its part of the last checkpoint.
    var hasWritten: Bool { writing?.work.isDone ?? true }
    /// On rank 0, whether it is time to retry a failed checkpoint.
    var wantsAnother: Bool { retry.map { $0 < .now } ?? false }

    private let folder: CheckpointStore
    private let method: String
    private let store: ParameterStore
    private let card: JSONValue
    private let keep: Int
    private let ranks: any Ranks
    private let owned: [UnsafeMutableBufferPointer<Float>]
    private let warn: (String) -> Void
    /// Memory for the copy of `owned`; it grows once.
    private var copies = FloatBlock(0)
    private var writing: Writing?
    private var sealing: (step: Int, work: BackgroundWork<String?>)?
    private var retry: ContinuousClock.Instant?
    /// The last reported problem with removing old checkpoints.
    private var reportedOldCheckpoints: String?
    /// Why the last checkpoint failed, as every rank knows.
    private var failure: String?

    private static let pauseBeforeRetry = Duration.seconds(60)
    private static let pauseBetweenLooks = 0.005  // seconds
    private static let pauseBetweenWarnings = Duration.seconds(60)

    private struct Writing {
        let step: Int
        let updates: UpdateCounts
        let loss: Double?
        /// The files' headers, which rank 0 has written: model, optimiser.
        let headers: [(bytes: Int, crc32: UInt32)]
        let work: BackgroundWork<[WrittenSlice]>
    }

    /// - Parameters:
    ///   - card: card of the data.
    ///   - owned: the parameters and moments that this rank writes.
    ///   - warn: called on rank 0.
    init(
        _ folder: CheckpointStore, method: String, store: ParameterStore, card: JSONValue, keep: Int,
        ranks: any Ranks, owned: [UnsafeMutableBufferPointer<Float>], warn: @escaping (String) -> Void
    ) {
        self.folder = folder
        self.method = method
        self.store = store
        self.card = card
        self.keep = keep
        self.ranks = ranks
        self.owned = owned
        self.warn = warn
    }

    /// Starts writing a checkpoint of the present state. Waits for the one before. Collective.
    /// - Parameter loss: mean of the steps since the checkpoint before.
    func start(step: Int, loss: Double?) throws {
        try finish()
        (retry, failure) = (nil, nil)
        let states = store.stateArrays
        defer { states.release() }
        let files = [
            (CheckpointStore.modelName, store.arrays + states.arrays),
            (CheckpointStore.optimiserName, store.slotArrays),
        ]
        let own = owned + (ranks.isFirst ? states.arrays.map(\.values) : [])
        do {
            let (headers, slices) = try ranks.agree {
                // The model's file may be passed on without the manifest.
                let metadata = ["method": method, "card": card.text]
                let headers = try zip(files, [metadata, [:]]).map { try SafeTensors.header($0.1, metadata: $1) }
                if ranks.isFirst {
                    try folder.prepare(step)
                    for ((name, arrays), header) in zip(files, headers) {
                        try DurableFile.create(
                            "\(folder.temporaryPath(step))/\(name)", opening: header,
                            bytes: header.count + 4 * arrays.reduce(0) { $0 + $1.values.count })
                    }
                }
                let slices = zip(files, headers).enumerated().flatMap { index, file in
                    FileSlice.slices(of: file.0.1, in: own, file: index, from: file.1.count)
                }
                return (headers, slices)
            }
            let snapshot = Snapshot(slices, in: &copies)
            let paths = files.map { "\(folder.temporaryPath(step))/\($0.0)" }
            writing = Writing(
                step: step, updates: store.updateCounts, loss: loss,
                headers: headers.map { header in (header.count, header.withUnsafeBytes { checksum($0) }) },
                work: BackgroundWork("checkpoint") { [isFirst = ranks.isFirst] in
                    try snapshot.write(to: paths, always: isFirst)  // rank 0 made the files
                })
        } catch let error as AgreedError {
            fail(step, error)
        }
    }

    /// Continues the checkpoint that was started, if `hasWritten` was true on every rank. Collective if it was.
    func advance(everyoneHasWritten: Bool) throws {
        if writing != nil && everyoneHasWritten { try collect() }
        if sealing?.work.isDone == true { sealed() }
    }

    /// Waits until the checkpoint that was started is on the disk, or has failed. Collective.
    /// - Returns: why it failed; nil where it didn't.
    @discardableResult
    func finish() throws -> String? {
        try waitForAll { hasWritten }
        if writing != nil { try collect() }
        try waitForAll { sealing?.work.isDone != false }
        if ranks.isFirst { sealed() }
        let problem = try ranks.broadcast(failure ?? "", from: 0)
        return problem.isEmpty ? nil : problem
    }

    /// Waits until `isDone` on every rank. It asks again and again, so that no rank waits for a slow disk in a
    /// collective call: the watchdog would take that for a job that stands still. Rank 0 reports whose disk is slow.
    /// Collective.
    private func waitForAll(_ isDone: () -> Bool) throws {
        var warned = ContinuousClock.now
        while true {
            var late = [Double](repeating: 0, count: ranks.worldSize)
            if !isDone() { late[ranks.rank] = 1 }
            late = try ranks.sum(late)
            if late.allSatisfy({ $0 == 0 }) { return }
            if ranks.isFirst && warned + Self.pauseBetweenWarnings < .now {
                warned = .now
                let all = late.indices.filter { late[$0] > 0 }
                let names = all.prefix(8).map(String.init).joined(separator: ", ")
                let more = all.count > 8 ? " and \(all.count - 8) more" : ""
                warn("waiting for the disk, which hasn't taken the checkpoint of ranks \(names)\(more) yet")
            }
            Thread.sleep(forTimeInterval: Self.pauseBetweenLooks)
        }
    }

    /// Gathers every rank's checksums, from which rank 0 makes the manifest. Collective.
    private func collect() throws {
        guard let writing else { return }
        self.writing = nil
        let mine: [WrittenSlice]
        do { mine = try ranks.agree { try writing.work.wait() } } catch let error as AgreedError {
            if ranks.isFirst { folder.discard(writing.step) }
            return fail(writing.step, error)
        }
        let all = try ranks.gather(mine, filler: WrittenSlice(file: 0, offset: 0, bytes: 0, crc32: 0))
        guard ranks.isFirst else { return }
        let work = BackgroundWork<String?>("checkpoint") { [folder, method, card, keep] in
            let names = [CheckpointStore.modelName, CheckpointStore.optimiserName]
            let files = names.enumerated().map { index, name in
                WrittenSlice.file(name, header: writing.headers[index], slices: all.filter { $0.file == index })
            }
            do {
                return try folder.seal(
                    CheckpointManifest(
                        step: writing.step, method: method, updates: writing.updates, loss: writing.loss, card: card,
                        files: files),
                    keep: keep)
            } catch {
                folder.discard(writing.step)
                throw error
            }
        }
        sealing = (writing.step, work)
    }

    /// On rank 0, waits until the manifest is written.
    private func sealed() {
        guard let sealing else { return }
        self.sealing = nil
        do {
            let problem = try sealing.work.wait()
            if let problem, problem != reportedOldCheckpoints { warn(problem) }
            reportedOldCheckpoints = problem
        } catch { fail(sealing.step, error) }
    }

    private func fail(_ step: Int, _ error: any Error) {
        var reason = "\(error)"
        if reason.hasPrefix(ranks.label + " ") { reason.removeFirst(ranks.label.count + 1) }
        let problem = "checkpoint of step \(step) can't be written: \(reason)"
        failure = problem
        guard ranks.isFirst else { return }
        warn("\(problem); earlier checkpoints are kept")
        retry = .now + Self.pauseBeforeRetry
    }
}

/// A slice of a checkpoint's file, and the memory with its values.
private struct FileSlice {
    /// Index in the list of files.
    let file: Int
    /// Bytes from the file's start.
    let offset: Int
    let values: UnsafeMutableBufferPointer<Float>

    /// The slices of a file's arrays that lie in certain regions of memory.
    /// - Parameter start: bytes before the first array.
    static func slices(
        of arrays: [NamedArray], in regions: [UnsafeMutableBufferPointer<Float>], file: Int, from start: Int
    ) -> [FileSlice] {
        var offset = start
        var result: [FileSlice] = []
        for array in arrays {
            let first = array.values.baseAddress!
            for region in regions {
                guard let other = region.baseAddress else { continue }
                let from = max(first, other)
                let end = min(first + array.values.count, other + region.count)
                guard from < end else { continue }
                result.append(
                    FileSlice(
                        file: file, offset: offset + 4 * (from - first),
                        values: UnsafeMutableBufferPointer(start: from, count: end - from)))
            }
            offset += 4 * array.values.count
        }
        return result
    }
}

/// A copy of the slices that a rank writes, at one moment of training.
private struct Snapshot: @unchecked Sendable {  // nothing else uses the memory before the writing has ended
    private let slices: [FileSlice]
    /// The memory of the copied slices.
    private let memory: FloatBlock

    /// - Parameter memory: made larger where it is too small.
    init(_ slices: [FileSlice], in memory: inout FloatBlock) {
        let count = slices.reduce(0) { $0 + $1.values.count }
        if memory.elements.count < count { memory = FloatBlock(count) }
        self.memory = memory
        var rest = memory.elements[...]
        self.slices = slices.map { slice in
            let copy = UnsafeMutableBufferPointer(rebasing: rest.prefix(slice.values.count))
            rest = rest.dropFirst(copy.count)
            _ = copy.update(fromContentsOf: slice.values)
            return FileSlice(file: slice.file, offset: slice.offset, values: copy)
        }
    }

    /// Writes each slice at its offset, and forces it to the disk.
    /// - Parameter always: also forces files without a slice to the disk.
    func write(to paths: [String], always: Bool) throws -> [WrittenSlice] {
        for (index, path) in paths.enumerated() {
            let parts = slices.filter { $0.file == index }.map { ($0.offset, UnsafeRawBufferPointer($0.values)) }
            if always || !parts.isEmpty { try DurableFile.update(path, parts) }
        }
        return slices.map {
            WrittenSlice(
                file: $0.file, offset: $0.offset, bytes: 4 * $0.values.count,
                crc32: checksum(UnsafeRawBufferPointer($0.values)))
        }
    }
}

/// A slice that some rank has written.
private struct WrittenSlice: BitwiseCopyable {
    let file: Int
    let offset: Int
    let bytes: Int
    let crc32: UInt32

    /// A file's line in the manifest, from all its slices.
    static func file(
        _ name: String, header: (bytes: Int, crc32: UInt32), slices: [WrittenSlice]
    ) -> CheckpointManifest.File {
        var (end, sum) = header
        for slice in slices.sorted(by: { $0.offset < $1.offset }) {
            precondition(slice.offset == end, "no rank or two ranks wrote byte \(end) of \(name)")
            sum = checksum(sum, followedBy: slice.crc32, bytes: slice.bytes)
            end += slice.bytes
        }
        return CheckpointManifest.File(name: name, bytes: end, crc32: sum)
    }
}
