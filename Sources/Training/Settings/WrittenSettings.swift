import Collectives
import Datasets
import Foundation

/// Settings as they are written, in a file or after `--set`.
extension JSONValue {
    /// The files of `launch/runs` have a few kilobytes.
    private static let largestFile = 1 << 16
    private static let longestName = 200

    /// The settings in a JSON5 file.
    /// - Throws: `InputError` that begins with the path.
    package static func settings(file path: String) throws -> JSONValue {
        let size = try fileSize(path)
        guard size <= largestFile else {
            throw InputError("\(path) has \(size) bytes: a file of settings has at most \(largestFile)")
        }
        let data: Data
        do { data = try Data(contentsOf: URL(fileURLWithPath: path)) } catch {
            throw InputError("\(path) can't be read: \(error.localizedDescription)")
        }
        do { return try parse(data) } catch let DecodingError.dataCorrupted(context) {
            let reason = (context.underlyingError as NSError?)?.userInfo[NSDebugDescriptionErrorKey] as? String
            throw InputError("\(path) is not JSON5: \(reason ?? context.debugDescription)")
        } catch let error as RepeatedKey {
            throw InputError("\(path): \(error)")
        } catch let DecodingError.typeMismatch(_, context) {
            let name = context.codingPath.map(\.stringValue).joined(separator: ".")
            throw InputError(
                "\(path): the value of \(name) is a number that is too large or not finite, a broken string, or "
                    + "nested too deeply")
        }
    }

    /// A tree with the one setting of `KEY=VALUE`.
    package static func setting(typed text: String) throws -> JSONValue {
        let parts = text.split(separator: "=", maxSplits: 1).map(String.init)
        guard parts.count == 2 else { throw InputError("--set \(text) has no value: write --set KEY=VALUE") }
        guard parts[0].utf8.count <= longestName else {
            throw InputError(
                "--set \(parts[0].prefix(40))…: the name is too long, no setting has more than \(longestName) letters")
        }
        return .leaf(parts[0], try typed(parts[1]))
    }

    /// The trees of several `--set`, in order.
    /// - Throws: `InputError` where two set the same setting.
    package static func settings(typed texts: [String]) throws -> [JSONValue] {
        var earlier: [String: String] = [:]
        return try texts.map { text in
            let tree = try setting(typed: text)
            for leaf in tree.leaves {
                if let other = earlier[leaf] {
                    throw InputError("--set \(other) and --set \(text) both set \(leaf): keep one")
                }
                earlier[leaf] = text
            }
            return tree
        }
    }

    /// A number, `true`, `null`, … if the text is one, otherwise the text itself.
    /// - Throws: `InputError` where an object has a key twice.
    package static func typed(_ text: String) throws -> JSONValue {
        do { return try parse(Data(text.utf8)) } catch let error as RepeatedKey {
            throw InputError("\(text): \(error)")
        } catch {
            return .string(text)
        }
    }
}
