import Collectives
import Foundation
import Training

/// Standard input, output and error.
enum StandardStreams {
    /// Opens each closed stream, so that no file opened later gets its number, and with it the program's output. Reads
    /// and writes there fail, as on the closed stream. To be called before anything else.
    static func reserve() {
        for descriptor in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO] where fcntl(descriptor, F_GETFD) < 0 {
            // It gets the lowest free number.
            _ = open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY)
        }
    }
}

extension Program {
    /// Rank 0 prints the result of a command. Collective.
    static func tell(by ranks: any Ranks, _ text: () throws -> String) throws {
        try ranks.agree { if ranks.isFirst { try tell(text()) } }
    }

    /// Prints the result of a command, and a newline.
    /// - Throws: `FileError` where not all of it could be written.
    static func tell(_ text: String) throws {
        fflush(nil)
        try Data((text + "\n").utf8).withUnsafeBytes { bytes in
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = write(STDOUT_FILENO, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                if count > 0 {
                    rest = rest.dropFirst(count)
                } else if errno == EAGAIN {  // the reader made it non-blocking
                    var output = pollfd(fd: STDOUT_FILENO, events: Int16(POLLOUT), revents: 0)
                    poll(&output, 1, -1)
                } else if errno != EINTR {
                    throw FileError(action: "write", path: "standard output", code: errno)
                }
            }
        }
    }
}
