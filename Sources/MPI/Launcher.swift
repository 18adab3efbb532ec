import Collectives
import Foundation

/// What the environment says of how this process was started.
package enum Launcher {
    /// Variables in which a launcher states how many processes it started, with the launcher's name.
    private static let sizes = [
        ("OMPI_COMM_WORLD_SIZE", "Open MPI's mpirun"), ("PMI_SIZE", "a PMI launcher (MPICH's mpiexec or srun)"),
        ("SLURM_STEP_NUM_TASKS", "srun"),
    ]

    /// True when an MPI launcher started this process.
    package static func isPresent(in environment: [String: String]) -> Bool {
        sizes.contains { environment[$0.0] != nil } || environment["PMIX_RANK"] != nil
    }

    /// The rank that the launcher gave this process, 0 without one.
    package static func place(in environment: [String: String]) -> Int {
        let variables = ["OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"]
        return variables.lazy.compactMap { environment[$0].flatMap { Int($0) } }.first ?? 0
    }

    /// Refuses to run as N unconnected worlds of one, which would train N times the same model.
    package static func checkWorldSize(_ worldSize: Int, environment: [String: String]) throws {
        guard worldSize == 1 else { return }
        for (variable, launcher) in sizes {
            if let text = environment[variable], let meant = Int(text), meant > 1 {
                throw InputError(
                    "\(launcher) started \(meant) processes (\(variable)=\(meant)) but here is a world of 1: "
                        + "start with Open MPI's own mpirun, or srun --mpi=pmix where that plugin exists, "
                        + "and without --transport")
            }
        }
    }

    /// Waits until the launcher has read what this process has written, or takes nothing for a second.
    ///
    /// Open MPI 5 ends all ranks when one has exited with another status than 0, and drops what it has not read by then:
    /// the line that says why, one time in ten.
    package static func waitUntilOutputIsRead(_ descriptors: [Int32] = [STDOUT_FILENO, STDERR_FILENO]) {
        fflush(nil)
        for descriptor in descriptors {
            var file = stat()
            guard fstat(descriptor, &file) == 0, file.st_mode & S_IFMT == S_IFIFO else { continue }
            var (unread, before, looks) = (Int32(0), Int32(0), 0)
            while ioctl(descriptor, UInt(FIONREAD), &unread) == 0, unread > 0, looks < 1000 {
                looks = unread == before ? looks + 1 : 0
                before = unread
                usleep(1000)
            }
        }
    }
}
