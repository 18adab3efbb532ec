import Collectives
import Foundation

/// The directory of a run while one job trains in it. For rank 0.
final class RunDirectory {
    let path: String
    private let lock: Int32
    /// Whether this job, which holds the lock, made the directory.
    private var isNew = false
    private var nextLook = ContinuousClock.now

    private static let lockName = ".lock"

    /// Makes the directory if it doesn't exist, and takes its lock, which ends with this object or its process.
    /// - Parameter patience: seconds to wait for the lock, because a dead job may not be gone yet. For a job on another
    ///   host it is twelve times as long: a file server keeps the lock of a dead host for a minute or more.
    /// - Throws: `InputError` when another job has it.
    init(_ path: String, patience: Double, warn: (String) -> Void) throws {
        self.path = path
        let isNew = access(path, F_OK) != 0
        var deadline = ContinuousClock.now + .seconds(patience)
        var isExtended = patience == 0
        repeat {
            try makeFolder(path)
            let file = "\(path)/\(Self.lockName)"
            let descriptor = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
            guard descriptor >= 0 else { throw InputError("\(FileError(action: "create", path: file, code: errno))") }
            var code: Int32 = 0
            while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
                code = errno
                guard code == EWOULDBLOCK else { break }
                if deadline < .now {
                    let owner = Self.text(of: descriptor)
                    guard !isExtended, !owner.hasSuffix(Self.host) else { break }
                    isExtended = true
                    deadline += .seconds(11 * patience)
                    warn(
                        "\(path) is locked by \(owner): waiting \(Int(11 * patience)) s more, because that host may "
                            + "be dead")
                }
                (code, _) = (0, usleep(100_000))
            }
            if code == EWOULDBLOCK {
                defer { close(descriptor) }
                throw InputError(
                    "another job trains in \(path) (\(Self.text(of: descriptor))): wait until it ends, stop it with "
                        + "touch \(path)/\(Self.stopName), or choose another --output")
            }
            if code != 0 {
                warn(
                    "\(path) can't be locked (\(String(cString: strerror(code)))): make sure that no other job trains "
                        + "in it"
                )
            }
            // Another job may have removed the directory, and this file, just before the lock was taken.
            if Self.isSame(descriptor, file) {
                lock = descriptor
                break
            }
            close(descriptor)
        } while true
        self.isNew = isNew
        let owner = "process \(getpid())\(Self.host)\n"
        ftruncate(lock, 0)
        _ = owner.withCString { pwrite(lock, $0, strlen($0), 0) }
        // Left by a job that was killed before it could obey.
        if (try? FileManager.default.removeItem(atPath: stopFile)) != nil {
            warn("removed \(stopFile), which was there before this start")
        }
    }

    /// Releases the directory, and removes it if this job made it and nothing is in it.
    deinit {
        if isNew, (try? FileManager.default.contentsOfDirectory(atPath: path)) == [Self.lockName] {
            try? FileManager.default.removeItem(atPath: path)
        }
        close(lock)
    }

    private static var host: String { " on \(ProcessInfo.processInfo.hostName)" }

    private static func text(of descriptor: Int32) -> String {
        var bytes = [UInt8](repeating: 0, count: 200)
        let count = max(0, pread(descriptor, &bytes, bytes.count, 0))
        return String(decoding: bytes.prefix(count), as: UTF8.self).filter { !$0.isNewline }
    }

    private static func isSame(_ descriptor: Int32, _ file: String) -> Bool {
        var (open, named) = (stat(), stat())
        return fstat(descriptor, &open) == 0 && stat(file, &named) == 0 && open.st_ino == named.st_ino
            && open.st_dev == named.st_dev
    }

    // MARK: - The file STOP

    private static let stopName = "STOP"
    private var stopFile: String { "\(path)/\(Self.stopName)" }

    /// Whether somebody has made a file STOP here. Looking takes at most a hundredth of the time, however slow the
    /// directory is. After one slow look, the next comes within 5 seconds.
    var isAskedToStop: Bool {
        let start = ContinuousClock.now
        guard nextLook <= start else { return false }
        let isThere = access(stopFile, F_OK) == 0
        nextLook = start + min(start.duration(to: .now) * 100, .seconds(5))
        return isThere
    }

    /// Removes the file STOP, so that the run can continue later.
    func takeStop() { try? FileManager.default.removeItem(atPath: stopFile) }
}
