import Collectives
import Foundation

StandardStreams.reserve()
let program = Program(arguments: Array(CommandLine.arguments.dropFirst()))
let status = program.run()
if status == ExitStatus.success.rawValue { program.confirm() }
exit(status)
