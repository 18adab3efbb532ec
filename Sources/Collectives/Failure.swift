/// How the program ends.
package enum ExitStatus: Int32, Sendable {
    case success = 0
    case failure = 1
    /// Bad input or usage, or what would only fail again if it were started again.
    case badInput = 2
    /// Stopped by a signal, with a checkpoint; `--resume` goes on.
    case interrupted = 75
}

/// An error that says how the program is to end.
package protocol Failure: Error {
    var status: ExitStatus { get }
}

extension Error {
    /// What the program ends with: `failure` for errors that don't say.
    package var exitStatus: ExitStatus { (self as? any Failure)?.status ?? .failure }
}

/// Bad input or usage: one line that says what, which value, which limit, and what to do. The program exits with 2.
package struct InputError: Failure, CustomStringConvertible {
    package let description: String
    package var status: ExitStatus { .badInput }

    /// Written by `oneLine`.
    package init(_ description: String) { self.description = oneLine(description) }
}

/// A line that may quote what a file holds or is called. What would break it, or change the terminal, such as a line end in
/// a name, is written as in Swift: `\n`. Of a line without end the middle is left out.
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
