import MPI
import XCTest

final class LauncherTests: XCTestCase {
    func testUnconnectedProcessesAreRefused() {
        for (variable, launcher) in [
            ("OMPI_COMM_WORLD_SIZE", "mpirun"), ("PMI_SIZE", "mpiexec"), ("SLURM_STEP_NUM_TASKS", "srun"),
        ] {
            XCTAssertThrowsError(try Launcher.checkWorldSize(1, environment: [variable: "4"])) {
                XCTAssert("\($0)".contains("started 4 processes") && "\($0)".contains(launcher), "\($0)")
            }
            XCTAssertNoThrow(try Launcher.checkWorldSize(1, environment: [variable: "1"]))
            XCTAssertNoThrow(try Launcher.checkWorldSize(4, environment: [variable: "4"]))
            XCTAssertTrue(Launcher.isPresent(in: [variable: "4"]))
        }
        XCTAssertNoThrow(try Launcher.checkWorldSize(1, environment: [:]))
        XCTAssertFalse(Launcher.isPresent(in: ["PATH": "/usr/bin", "SLURM_JOB_ID": "7"]))
    }

    /// The world that mpirun announces is the one that MPI connects.
    func testThisWorldIsConnected() throws {
        let environment = ProcessInfo.processInfo.environment
        let meant = environment["OMPI_COMM_WORLD_SIZE"].flatMap { Int($0) } ?? 1
        XCTAssertEqual(World.ranks.worldSize, meant)
    }

    /// A launcher that is slow to read loses nothing, and one that doesn't read holds nobody up for ever.
    func testOutputIsReadBeforeTheEnd() throws {
        let slow = Pipe()
        let text = Data(repeating: 7, count: 5000)
        slow.fileHandleForWriting.write(text)
        let source = slow.fileHandleForReading.fileDescriptor
        let reader = Thread {
            var byte = [UInt8](repeating: 0, count: 100)
            for _ in 0..<50 {
                usleep(2000)
                XCTAssertEqual(read(source, &byte, 100), 100)
            }
        }
        reader.start()
        Launcher.waitUntilOutputIsRead([slow.fileHandleForWriting.fileDescriptor])
        var unread: Int32 = -1
        XCTAssertEqual(ioctl(source, UInt(FIONREAD), &unread), 0)
        XCTAssertEqual(unread, 0)

        let unheard = Pipe()
        unheard.fileHandleForWriting.write(text)
        Launcher.waitUntilOutputIsRead([unheard.fileHandleForWriting.fileDescriptor])
    }
}
