/// The exit statuses of the program.
package enum ExitStatus: Int32, Sendable {
    case success = 0
    case failure = 1
    /// Bad input or usage, or another failure that would occur again at another start.
    case badInput = 2
    /// Stopped by a signal, with a checkpoint; `--resume` continues.
    case interrupted = 75
}

/// An error with the exit status of the program.
package protocol Failure: Error {
    var status: ExitStatus { get }
}

extension Error {
    /// The exit status of the program after this error: `failure` if the error has none.
    package var exitStatus: ExitStatus { (self as? any Failure)?.status ?? .failure }
}

/// Bad input or usage: one line that says what is wrong, which value, which limit, and what to do. The program exits
/// with status 2.
package struct InputError: Failure, CustomStringConvertible {
    package let description: String
    package var status: ExitStatus { .badInput }

    /// The description is made one line by `oneLine`.
    package init(_ description: String) { self.description = oneLine(description) }
}

/// A text as one line, which may quote a file's name or content. Characters that would break the line or change the
/// terminal, such as a newline in a name, are written as in Swift: `\n`. The middle of a very long line is left out.
package func oneLine(_ text: String) -> String {
    let line = text.unicodeScalars.map { scalar in
        switch scalar.properties.generalCategory {
        case .control, .lineSeparator, .paragraphSeparator: scalar.escaped(asASCII: true)
        default: String(scalar)
        }
    }.joined()
    let longest = 4000  // letters
    return line.count <= longest ? line : "\(line.prefix(longest / 2)) … \(line.suffix(longest / 2))"
}
