import Collectives
import Foundation

@testable import Datasets

/// A parser of foreign bytes, as the fuzzer and `CorpusTests` use it.
struct Parser {
    /// Valid inputs, from which the fuzzer starts, by name.
    let seeds: [String: [UInt8]]
    private let read: ([UInt8]) throws -> Void

    /// By the name that `Tests/fuzz` takes and that a folder in `Corpus` bears.
    static let all: [String: @Sendable () throws -> Parser] = [
        "annotations": { try annotations() }, "arguments": { try arguments() },
        "checkpoint": { try checkpoint() }, "cifar": { try cifar() }, "configuration": { try configuration() },
        "idx": { try idx() }, "idx-labels": { try idxLabels() }, "journal": { try journal() },
        "jpeg": { try jpeg() }, "npy": { try npy() }, "npy-labels": { try npyLabels() }, "png": { try png() },
        "safetensors": { try safetensors() }, "stl10": { try stl10() }, "stl10-labels": { try stl10Labels() },
    ]

    enum Outcome: Equatable {
        case taken
        case refused(String)
    }

    /// A result that bad input must not have.
    struct Unexpected: Error, CustomStringConvertible {
        let description: String
    }

    /// - Parameter read: gives one input to what is tested, and goes as far with what comes out as the program does.
    init(seeds: [String: [UInt8]], read: @escaping ([UInt8]) throws -> Void) {
        self.seeds = seeds
        self.read = read
    }

    /// - Throws: where the input is neither taken nor refused with one clear line.
    func outcome(of input: [UInt8]) throws -> Outcome {
        guard let message = try refusal({ try read(input) }) else { return .taken }
        let isOneLine = message.unicodeScalars.allSatisfy { scalar in
            ![.control, .lineSeparator, .paragraphSeparator].contains(scalar.properties.generalCategory)
        }
        try require(isOneLine && (1...5000).contains(message.count), "no clear line: \(message)")
        return .refused(message)
    }
}

/// The message that refuses bad input, or nil. Throws any other error.
func refusal(_ work: () throws -> Void) throws -> String? {
    do {
        try work()
        return nil
    } catch let error as InputError {
        return error.description
    } catch let error as AgreedError where error.status == .badInput {
        return error.description
    }
}

/// Does one thing and the other, and refuses what both refuse.
func tryBoth(_ first: () throws -> Void, _ second: () throws -> Void) throws {
    if let refused = try refusal(first), try refusal(second) != nil { throw InputError(refused) }
}

/// Throws `Parser.Unexpected` unless the condition holds.
func require(_ condition: Bool, _ what: @autoclosure () -> String) throws {
    guard condition else { throw Parser.Unexpected(description: what()) }
}

/// A folder for a parser's files, which goes with it.
final class InputFolder {
    let path = NSTemporaryDirectory() + "dim-dist-fuzz-" + UUID().uuidString

    init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Writes a file, in a subfolder that is there already if the name says so, and returns its path.
    @discardableResult
    func write(_ name: String, _ bytes: [UInt8]) throws -> String {
        let file = try SystemFile(path + "/" + name, .create)
        try bytes.withUnsafeBytes { try file.write($0, at: 0) }
        return file.path
    }
}
