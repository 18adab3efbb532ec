import Foundation

exit(Program(arguments: Array(CommandLine.arguments.dropFirst())).run())
