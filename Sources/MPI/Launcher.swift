import Collectives
import Foundation

/// The launcher of this process, by its environment variables.
package enum Launcher {
    /// Variables in which a launcher puts the number of processes that it started, with the launcher's name.
    private static let sizes = [
        ("OMPI_COMM_WORLD_SIZE", "Open MPI's mpirun"), ("PMI_SIZE", "a PMI launcher (MPICH's mpiexec or srun)"),
        ("SLURM_STEP_NUM_TASKS", "srun"),
    ]

    /// True when an MPI launcher started this process.
    package static func isPresent(in environment: [String: String]) -> Bool {
        sizes.contains { environment[$0.0] != nil } || environment["PMIX_RANK"] != nil
    }

    /// The rank that the launcher gave this process; 0 without a launcher.
    package static func rank(in environment: [String: String]) -> Int {
        let variables = ["OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"]
        return variables.lazy.compactMap { environment[$0].flatMap { Int($0) } }.first ?? 0
    }

    /// Refuses to run as N unconnected worlds of one rank, which would train the same model N times.
    package static func checkWorldSize(_ worldSize: Int, environment: [String: String]) throws {
        guard worldSize == 1 else { return }
        for (variable, launcher) in sizes {
            if let text = environment[variable], let meant = Int(text), meant > 1 {
                throw InputError(
                    "\(launcher) started \(meant) processes (\(variable)=\(meant)), but they are not connected: start "
                        + "them by Open MPI's own mpirun, or by srun --mpi=pmix if Slurm has that plugin, and leave "
                        + "--transport out")
            }
        }
    }

    /// Waits until the launcher has read this process's output, or reads nothing for a second.
    ///
    /// Open MPI 5 ends all ranks when one has exited with a status other than 0, and drops output that it has not read
    /// by then. In one of ten cases that would be the line that says why.
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
