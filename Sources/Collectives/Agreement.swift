/// Bad input or usage: one line that says what, which value, which limit, and what to do. The program exits with 2.
package struct InputError: Error, CustomStringConvertible {
    package let description: String

    /// Letters of a line, which may quote what a file holds.
    private static let longest = 4000

    /// What would break the line, or change the terminal, such as a line end in a name from a file, is written as in
    /// Swift: `\n`. Of a line without end the middle is left out.
    package init(_ description: String) {
        let line = description.unicodeScalars.map { scalar in
            switch scalar.properties.generalCategory {
            case .control, .lineSeparator, .paragraphSeparator: scalar.escaped(asASCII: true)
            default: String(scalar)
            }
        }.joined()
        let half = Self.longest / 2
        self.description = line.count <= Self.longest ? line : "\(line.prefix(half)) … \(line.suffix(half))"
    }
}

/// A failure that every rank knows of, so that all can end in order.
package struct AgreedError: Error, CustomStringConvertible {
    /// The message of the lowest rank that failed, with its label unless all ranks failed.
    package let description: String
    /// Whether the cause was an `InputError`.
    package let isInput: Bool
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
        let failed = try gather(failure == nil ? 0 : failure is InputError ? 1 : 2)
        guard let first = failed.firstIndex(where: { $0 != 0 }) else { return try outcome.get() }
        let prefix = failed.contains(0) ? label + " " : ""
        let message = try broadcast(failure.map { prefix + "\($0)" } ?? "", from: first)
        throw AgreedError(description: message, isInput: failed[first] == 1)
    }
}
