import Collectives
import Foundation
import Training

/// Standard input, output and error.
enum StandardStreams {
    /// Gives a stream that is closed a place, so that no file that is opened later takes it and what is printed with it.
    /// Reads and writes there fail, as on the closed stream. Comes before anything else.
    static func reserve() {
        for descriptor in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO] where fcntl(descriptor, F_GETFD) < 0 {
            // The lowest number that is free.
            _ = open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY)
        }
    }
}

extension Program {
    /// The first rank prints what a command was asked for. Collective.
    static func tell(by ranks: any Ranks, _ text: () throws -> String) throws {
        try ranks.agree { if ranks.isFirst { try tell(text()) } }
    }

    /// Prints what a command was asked for, and a line's end.
    /// - Throws: `FileError` where not all of it could be written.
    static func tell(_ text: String) throws {
        fflush(nil)
        try Data((text + "\n").utf8).withUnsafeBytes { bytes in
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = write(STDOUT_FILENO, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                if count > 0 {
                    rest = rest.dropFirst(count)
                } else if errno == EAGAIN {  // some reader made it non-blocking
                    var output = pollfd(fd: STDOUT_FILENO, events: Int16(POLLOUT), revents: 0)
                    poll(&output, 1, -1)
                } else if errno != EINTR {
                    throw FileError(action: "write", path: "standard output", code: errno)
                }
            }
        }
    }
}
