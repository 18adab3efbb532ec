import Collectives
import Foundation
import Layers
import Tensors

/// Writes checkpoints while training goes on.
///
/// Nothing is gathered: each rank copies what it owns of parameters and moments, and a thread of its own writes that to
/// its place in the files. When all have said, by the votes of a step, that theirs is on the disk, the first rank makes
/// a checkpoint of it. One that can't be written costs nothing but itself: it is told, and tried again soon.
final class CheckpointWriter {
    /// This rank's vote of a step: whether nothing of the last checkpoint is left for it to write.
    var hasWritten: Bool { writing?.work.isDone ?? true }
    /// On the first rank, whether it is time to try again what failed.
    var wantsAnother: Bool { retry.map { $0 < .now } ?? false }

    private let folder: CheckpointStore
    private let method: String
    private let store: ParameterStore
    private let card: JSONValue
    private let keep: Int
    private let ranks: any Ranks
    private let owned: [UnsafeMutableBufferPointer<Float>]
    private let warn: (String) -> Void
    /// Where `owned` is copied to; grows once.
    private var copies = FloatBlock(0)
    private var writing: Writing?
    private var sealing: (step: Int, work: BackgroundWork<String?>)?
    private var retry: ContinuousClock.Instant?
    /// What was said last of old checkpoints that stay.
    private var toldOfOld: String?
    /// Why the last one failed, as every rank knows.
    private var failure: String?

    private static let pauseBeforeRetry = Duration.seconds(60)
    private static let pauseBetweenLooks = 0.005  // seconds
    private static let pauseBetweenWarnings = Duration.seconds(60)

    private struct Writing {
        let step: Int
        let updates: UpdateCounts
        let loss: Double?
        /// Of the files' headers, which the first rank has written: model, optimiser.
        let headers: [(bytes: Int, crc32: UInt32)]
        let work: BackgroundWork<[WrittenPiece]>
    }

    /// - Parameters:
    ///   - card: of the data.
    ///   - owned: what this rank writes of parameters and moments.
    ///   - warn: called on the first rank.
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

    /// Starts to write a checkpoint of what is there now. Waits for the one before. Collective.
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
            let (headers, pieces) = try ranks.agree {
                // The model's goes to others without the manifest.
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
                let pieces = zip(files, headers).enumerated().flatMap { place, file in
                    Piece.pieces(of: file.0.1, in: own, file: place, from: file.1.count)
                }
                return (headers, pieces)
            }
            let snapshot = Snapshot(pieces, in: &copies)
            let paths = files.map { "\(folder.temporaryPath(step))/\($0.0)" }
            writing = Writing(
                step: step, updates: store.updateCounts, loss: loss,
                headers: headers.map { header in (header.count, header.withUnsafeBytes { checksum($0) }) },
                work: BackgroundWork("checkpoint") { [isFirst = ranks.isFirst] in
                    try snapshot.write(to: paths, always: isFirst)  // which made them
                })
        } catch let error as AgreedError {
            fail(step, error)
        }
    }

    /// Goes on with what was started, when `hasWritten` was true on every rank. Collective where it was.
    func advance(everyoneHasWritten: Bool) throws {
        if writing != nil && everyoneHasWritten { try collect() }
        if sealing?.work.isDone == true { sealed() }
    }

    /// Waits until what was started is on the disk, or has failed. Collective.
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

    /// Waits until it is so on every rank. Asks again and again, so that nobody waits for a slow disk in a collective
    /// call, which isn't what stands still; the first rank tells whose disk it is. Collective.
    private func waitForAll(_ isDone: () -> Bool) throws {
        var told = ContinuousClock.now
        while true {
            var late = [Double](repeating: 0, count: ranks.worldSize)
            if !isDone() { late[ranks.rank] = 1 }
            late = try ranks.sum(late)
            if late.allSatisfy({ $0 == 0 }) { return }
            if ranks.isFirst && told + Self.pauseBetweenWarnings < .now {
                told = .now
                let all = late.indices.filter { late[$0] > 0 }
                let names = all.prefix(8).map(String.init).joined(separator: ", ")
                let more = all.count > 8 ? " and \(all.count - 8) more" : ""
                warn("the disk hasn't taken the checkpoint yet of ranks \(names)\(more): waiting for it")
            }
            Thread.sleep(forTimeInterval: Self.pauseBetweenLooks)
        }
    }

    /// Every rank's checksums, from which the first makes the manifest. Collective.
    private func collect() throws {
        guard let writing else { return }
        self.writing = nil
        let mine: [WrittenPiece]
        do { mine = try ranks.agree { try writing.work.wait() } } catch let error as AgreedError {
            if ranks.isFirst { folder.discard(writing.step) }
            return fail(writing.step, error)
        }
        let all = try ranks.gather(mine, filler: WrittenPiece(file: 0, offset: 0, bytes: 0, crc32: 0))
        guard ranks.isFirst else { return }
        let work = BackgroundWork<String?>("checkpoint") { [folder, method, card, keep] in
            let names = [CheckpointStore.modelName, CheckpointStore.optimiserName]
            let files = names.enumerated().map { place, name in
                WrittenPiece.file(name, header: writing.headers[place], pieces: all.filter { $0.file == place })
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

    /// On the first rank, waits until the manifest is written.
    private func sealed() {
        guard let sealing else { return }
        self.sealing = nil
        do {
            let problem = try sealing.work.wait()
            if let problem, problem != toldOfOld { warn(problem) }
            toldOfOld = problem
        } catch { fail(sealing.step, error) }
    }

    private func fail(_ step: Int, _ error: any Error) {
        var reason = "\(error)"
        if reason.hasPrefix(ranks.label + " ") { reason.removeFirst(ranks.label.count + 1) }
        let problem = "checkpoint of step \(step) not written: \(reason)"
        failure = problem
        guard ranks.isFirst else { return }
        warn("\(problem); those before are kept")
        retry = .now + Self.pauseBeforeRetry
    }
}

/// A stretch of a checkpoint's file, and where what it is to hold lies in memory.
private struct Piece {
    /// Place in the list of files.
    let file: Int
    /// Bytes from the file's start.
    let offset: Int
    let values: UnsafeMutableBufferPointer<Float>

    /// What lies of a file's arrays in certain regions of memory.
    /// - Parameter start: bytes before the first array.
    static func pieces(
        of arrays: [NamedArray], in regions: [UnsafeMutableBufferPointer<Float>], file: Int, from start: Int
    ) -> [Piece] {
        var offset = start
        var result: [Piece] = []
        for array in arrays {
            let first = array.values.baseAddress!
            for region in regions {
                guard let other = region.baseAddress else { continue }
                let from = max(first, other)
                let end = min(first + array.values.count, other + region.count)
                guard from < end else { continue }
                result.append(
                    Piece(
                        file: file, offset: offset + 4 * (from - first),
                        values: UnsafeMutableBufferPointer(start: from, count: end - from)))
            }
            offset += 4 * array.values.count
        }
        return result
    }
}

/// What a rank writes, as it was when this was made.
private struct Snapshot: @unchecked Sendable {  // nothing else touches the memory before the writing has ended
    private let pieces: [Piece]
    /// What the pieces lie in.
    private let memory: FloatBlock

    /// - Parameter memory: made larger where it is too small.
    init(_ pieces: [Piece], in memory: inout FloatBlock) {
        let count = pieces.reduce(0) { $0 + $1.values.count }
        if memory.elements.count < count { memory = FloatBlock(count) }
        self.memory = memory
        var rest = memory.elements[...]
        self.pieces = pieces.map { piece in
            let copy = UnsafeMutableBufferPointer(rebasing: rest.prefix(piece.values.count))
            rest = rest.dropFirst(copy.count)
            _ = copy.update(fromContentsOf: piece.values)
            return Piece(file: piece.file, offset: piece.offset, values: copy)
        }
    }

    /// Writes each piece to its place, and forces it to the disk.
    /// - Parameter always: also what there is already of files that no piece belongs to.
    func write(to paths: [String], always: Bool) throws -> [WrittenPiece] {
        for (place, path) in paths.enumerated() {
            let parts = pieces.filter { $0.file == place }.map { ($0.offset, UnsafeRawBufferPointer($0.values)) }
            if always || !parts.isEmpty { try DurableFile.update(path, parts) }
        }
        return pieces.map {
            WrittenPiece(
                file: $0.file, offset: $0.offset, bytes: 4 * $0.values.count,
                crc32: checksum(UnsafeRawBufferPointer($0.values)))
        }
    }
}

/// What some rank has written.
private struct WrittenPiece: BitwiseCopyable {
    let file: Int
    let offset: Int
    let bytes: Int
    let crc32: UInt32

    /// A file's line in the manifest, from all that was written of it.
    static func file(
        _ name: String, header: (bytes: Int, crc32: UInt32), pieces: [WrittenPiece]
    ) -> CheckpointManifest.File {
        var (end, sum) = header
        for piece in pieces.sorted(by: { $0.offset < $1.offset }) {
            precondition(piece.offset == end, "\(name) has byte \(end) from no rank, or from two")
            sum = checksum(sum, followedBy: piece.crc32, bytes: piece.bytes)
            end += piece.bytes
        }
        return CheckpointManifest.File(name: name, bytes: end, crc32: sum)
    }
}
