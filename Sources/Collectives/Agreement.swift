/// A failure that every rank knows of, so that all can end in order.
package struct AgreedError: Failure, CustomStringConvertible {
    /// The message of the lowest rank that failed, with its label unless all ranks failed.
    package let description: String
    /// Of that rank's error.
    package let status: ExitStatus
}

extension Ranks {
    /// Runs work that may throw on some ranks and not on others (reading files, checking input), and makes all
    /// ranks throw the same `AgreedError` when one has.
    ///
    /// Collective. The work itself must make no collective call.
    package func agree<Result>(_ work: () throws -> Result) throws -> Result {
        let outcome = Swift.Result { try work() }
        var failure: (any Error)?
        if case .failure(let error) = outcome { failure = error }
        let failed = try gather(Int((failure?.exitStatus ?? .success).rawValue))
        guard let first = failed.firstIndex(where: { $0 != 0 }) else { return try outcome.get() }
        let prefix = failed.contains(0) ? label + " " : ""
        let message = try broadcast(failure.map { prefix + "\($0)" } ?? "", from: first)
        throw AgreedError(description: message, status: ExitStatus(rawValue: Int32(failed[first])) ?? .failure)
    }
}
