import Collectives
import Foundation

/// The directory of a run while one job trains in it. For the first rank.
final class RunDirectory {
    let path: String
    private let lock: Int32
    private let isNew: Bool
    private var nextLook = ContinuousClock.now

    private static let pauseBetweenLooks = Duration.milliseconds(500)

    /// Makes the directory where it isn't there, and takes its lock, which ends with this object or its process.
    /// - Throws: `InputError` when another job has it.
    init(_ path: String, warn: (String) -> Void) throws {
        self.path = path
        isNew = !FileManager.default.fileExists(atPath: path)
        try makeFolder(path)
        let file = path + "/.lock"
        lock = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
        guard lock >= 0 else { throw InputError("\(FileError(action: "create", path: file, code: errno))") }
        if flock(lock, LOCK_EX | LOCK_NB) != 0 {
            let code = errno
            var text = [UInt8](repeating: 0, count: 200)
            let count = max(0, pread(lock, &text, text.count, 0))
            guard code != EWOULDBLOCK else {
                close(lock)
                let owner = String(decoding: text.prefix(count), as: UTF8.self).filter { !$0.isNewline }
                throw InputError(
                    "another job trains in \(path) (\(owner)): wait for its end, stop it with touch \(path)/\(Self.stopName), "
                        + "or choose another --output")
            }
            warn(
                "\(path) can't be locked (\(String(cString: strerror(code)))): see to it that no other job trains in it"
            )
        }
        let owner = "process \(getpid()) on \(ProcessInfo.processInfo.hostName)\n"
        ftruncate(lock, 0)
        _ = owner.withCString { pwrite(lock, $0, strlen($0), 0) }
        // What a job left that was killed before it could obey.
        if (try? FileManager.default.removeItem(atPath: stopFile)) != nil {
            warn("\(stopFile) was there from before this start, and is removed")
        }
    }

    /// Lets go of the directory, and removes one that has got nothing in it.
    deinit {
        if isNew, (try? FileManager.default.contentsOfDirectory(atPath: path)) == [".lock"] {
            try? FileManager.default.removeItem(atPath: path)
        }
        close(lock)
    }

    // MARK: - The file STOP

    private static let stopName = "STOP"
    private var stopFile: String { "\(path)/\(Self.stopName)" }

    /// Whether somebody has made a file STOP here. Looked for twice a second: the directory may be far away.
    var isAskedToStop: Bool {
        guard nextLook <= .now else { return false }
        nextLook = .now + Self.pauseBetweenLooks
        return access(stopFile, F_OK) == 0
    }

    /// Removes the file STOP, so that the run can go on later.
    func takeStop() { try? FileManager.default.removeItem(atPath: stopFile) }
}
