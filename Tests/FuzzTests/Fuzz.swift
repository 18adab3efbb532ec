import CFuzzer
import Foundation

// libFuzzer's ways into a program that `Tests/fuzz` builds. What it tests is named in the environment.

private nonisolated(unsafe) let parser: (name: String, parser: Parser) = {
    let name = ProcessInfo.processInfo.environment["DIM_DIST_PARSER"] ?? ""
    guard let make = Parser.all[name] else { fatalError("no parser \(name)") }
    do { return (name, try make()) } catch { fatalError("\(error)") }
}()

/// Without the name of a parser, prints all names; with DIM_DIST_SEEDS, writes valid inputs into that folder. Either
/// ends the program.
@_cdecl("LLVMFuzzerInitialize")
public func initialize(
    _ count: UnsafeMutablePointer<CInt>?, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
) -> CInt {
    let environment = ProcessInfo.processInfo.environment
    if environment["DIM_DIST_PARSER"] == nil {
        print(Parser.all.keys.sorted().joined(separator: "\n"))
        exit(0)
    }
    if let folder = environment["DIM_DIST_SEEDS"] {
        do {
            for (name, seed) in parser.parser.seeds {
                try Data(seed).write(to: URL(fileURLWithPath: folder + "/" + name))
            }
        } catch { fatalError("\(error)") }
        exit(0)
    }
    return 0
}

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ input: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    do { _ = try parser.parser.outcome(of: Array(UnsafeBufferPointer(start: input, count: size))) } catch {
        fatalError("\(error)")
    }
    return 0
}

/// Not a finding: Foundation leaks 4096 bytes for each empty file that it reads.
@_cdecl("__lsan_default_suppressions")
public func suppressions() -> UnsafePointer<CChar>? { leaksOfOthers }

private nonisolated(unsafe) let leaksOfOthers = UnsafePointer(strdup("leak:FoundationEssentials17readBytesFromFile"))

/// Puts the checksums of most changed PNG files right: libpng ignores everything after a wrong one.
@_cdecl("LLVMFuzzerCustomMutator")
public func mutate(_ input: UnsafeMutablePointer<UInt8>, _ size: Int, _ limit: Int, _ seed: CUnsignedInt) -> Int {
    let size = LLVMFuzzerMutate(input, size, limit)
    if parser.name == "png" && seed % 8 != 0 {
        let file = Seeds.withRightChecksums(Array(UnsafeBufferPointer(start: input, count: size)))
        input.update(from: file, count: size)
    }
    return size
}
