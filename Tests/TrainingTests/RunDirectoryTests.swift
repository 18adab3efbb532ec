import Collectives
import Foundation
import Testing

@testable import Training

@Suite struct RunDirectoryTests {
    private func directory(_ path: String) throws -> RunDirectory {
        try RunDirectory(path, patience: 0) { Issue.record("\($0)") }
    }

    @Test func onlyOneJobHasIt() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/run"
        var first: RunDirectory? = try directory(path)
        expectInputError("another job trains in \(path)", "process \(getpid())", "STOP") { try directory(path) }
        try Data().write(to: URL(fileURLWithPath: path + "/config.json"))
        withExtendedLifetime(first) {}
        first = nil
        _ = try directory(path)  // its end lets go
        #expect(FileManager.default.fileExists(atPath: path + "/config.json"))
    }

    /// A file server keeps the lock of a host that is dead for a while.
    @Test func theLockOfAnotherHostIsWaitedForLonger() throws {
        let folder = try TemporaryFolder()
        try folder.write(".lock", "process 1 on elsewhere\n")
        let lock = open(folder.path + "/.lock", O_RDWR)
        #expect(flock(lock, LOCK_EX) == 0)
        var warnings: [String] = []
        let directory = try RunDirectory(folder.path, patience: 0.3) {
            warnings.append($0)
            close(lock)  // during the longer wait, which this warning announces
        }
        #expect(warnings.count == 1 && warnings[0].contains("process 1 on elsewhere"), "\(warnings)")
        withExtendedLifetime(directory) {}
    }

    @Test func whatItMadeForNothingIsRemoved() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/run"
        var directory: RunDirectory? = try directory(path)
        #expect(directory?.path == path && FileManager.default.fileExists(atPath: path))
        directory = nil
        #expect(!FileManager.default.fileExists(atPath: path))
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        directory = try self.directory(path)
        directory = nil
        #expect(FileManager.default.fileExists(atPath: path), "it was there before")
    }

    @Test func aFileAsksToStopOnce() throws {
        let folder = try TemporaryFolder()
        try folder.write("STOP", "")  // from before
        var warnings: [String] = []
        let directory = try RunDirectory(folder.path, patience: 0) { warnings.append($0) }
        #expect(warnings.count == 1 && warnings[0].contains("STOP"), "\(warnings)")
        #expect(!directory.isAskedToStop)
        try folder.write("STOP", "")
        var isAsked = false
        for _ in 0..<100 where !isAsked {
            usleep(100_000)  // looks take a hundredth of the time
            isAsked = directory.isAskedToStop
        }
        #expect(isAsked)
        directory.takeStop()
        #expect(!FileManager.default.fileExists(atPath: folder.path + "/STOP"))
    }
}
