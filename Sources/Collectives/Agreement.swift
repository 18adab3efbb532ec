/// A failure that every rank knows, so that all can end in order.
package struct AgreedError: Failure, CustomStringConvertible {
    /// The message of the lowest rank that failed, with its label unless all ranks failed.
    package let description: String
    /// The exit status of that rank's error.
    package let status: ExitStatus
}

extension Ranks {
    /// Runs work that may throw on some ranks only (reading files, checking input). If it throws on any rank, all ranks
    /// throw the same `AgreedError`.
    ///
    /// Collective. The work itself must not make a collective call.
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
