import Foundation

StandardStreams.reserve()
exit(Program(arguments: Array(CommandLine.arguments.dropFirst())).run())
