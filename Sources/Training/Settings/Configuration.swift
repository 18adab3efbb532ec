import Collectives
import Datasets
import Foundation

/// All settings of a run of a method. Files are JSON5 with any of these keys; unknown keys are refused.
///
/// One tree holds the settings of the run, of the method and, under `data`, of its data; `method` names the method.
/// Names don't collide: no method has a setting with the name of one of the run.
@dynamicMemberLookup
package struct Configuration<M: Method>: Equatable, Sendable {
    package var run = RunSettings()
    package var method = M.Settings()
    package var data = M.Source.Settings()

    /// The method's defaults are `M.defaults`, which may differ from the defaults of the parts.
    package init() {}

    package subscript<Value>(dynamicMember path: WritableKeyPath<RunSettings, Value>) -> Value {
        get { run[keyPath: path] }
        set { run[keyPath: path] = newValue }
    }

    package subscript<Value>(dynamicMember path: WritableKeyPath<M.Settings, Value>) -> Value {
        get { method[keyPath: path] }
        set { method[keyPath: path] = newValue }
    }

    /// A line for each setting, by its dotted path.
    package static var help: [String: String] {
        parts(["method": "how to train"], M.Settings.wholeHelp, RunSettings.wholeHelp, M.Source.Settings.wholeHelp)
    }

    private static var expectations: [String: String] {
        parts(
            [:], RunSettings.wholeExpectations, M.Settings.wholeExpectations, M.Source.Settings.wholeExpectations)
    }

    private static var elements: [String: any Codable & Sendable] {
        parts([:], RunSettings.wholeElements, M.Settings.wholeElements, M.Source.Settings.wholeElements)
    }

    private static func isChangeable(_ path: String) -> Bool {
        RunSettings.wholeChangeable.contains(path) || M.Settings.wholeChangeable.contains(path)
            || M.Source.Settings.wholeChangeable.contains { "data.\($0)" == path }
    }

    private static func parts<Value>(
        _ own: [String: Value], _ method: [String: Value], _ run: [String: Value], _ data: [String: Value]
    ) -> [String: Value] {
        [method, run, Dictionary(uniqueKeysWithValues: data.map { ("data.\($0)", $1) })].reduce(own) {
            $0.merging($1) { mine, _ in mine }
        }
    }

    // MARK: - The tree

    /// Lays trees of settings over the method's defaults, later ones over earlier ones, and checks the result. Where a
    /// setting chooses other defaults, they are laid over those.
    package init(layers: [JSONValue]) throws {
        let defaults = M.defaults
        try self.init(layers, over: defaults)
        var chosen = defaults
        chosen.method = method.chosenDefaults(over: defaults.method)
        chosen.data = data.chosenDefaults(over: defaults.data)
        if chosen != defaults { try self.init(layers, over: chosen) }
        try check()
    }

    private init(_ layers: [JSONValue], over defaults: Configuration) throws {
        let defaults = try defaults.tree()
        let tree = try Self.withWholeElements(layers.reduce(defaults) { try $0.overlaid(with: $1) })
        try require(tree.value(at: "method") == .string(M.name), "method", tree.value(at: "method").text, M.name)
        run = try Self.decoded(tree, over: defaults)
        method = try Self.decoded(tree, over: defaults)
        data = try Self.decoded(tree.value(at: "data"), over: defaults.value(at: "data"), path: "data.")
    }

    package func tree() throws -> JSONValue {
        let parts = [try JSONValue(of: run), try JSONValue(of: method)]
        return .object(
            parts.reduce(["method": .string(M.name), "data": try JSONValue(of: data)]) { whole, part in
                whole.merging(part.members) { _, _ in preconditionFailure("a setting of \(M.name) is one of the run") }
            })
    }

    /// The tree with each element of a list laid over an element's defaults. Laying trees over trees doesn't do that,
    /// because there a list is a leaf.
    private static func withWholeElements(_ tree: JSONValue) throws -> JSONValue {
        try elements.reduce(tree) { tree, list in
            guard case .array(let values) = tree.value(at: list.key) else { return tree }
            let defaults = try JSONValue(of: list.value)
            let whole = try values.enumerated().map { index, value in
                let path = "\(list.key)[\(index)]"
                let whole = try defaults.overlaid(with: value, path: [path])
                try check(whole, like: list.value, over: defaults, path: path + ".")
                return whole
            }
            return try tree.overlaid(with: .leaf(list.key, .array(whole)))
        }
    }

    /// Throws where an element's tree holds a value of another type than its defaults.
    private static func check<Element: Decodable>(
        _ tree: JSONValue, like _: Element, over defaults: JSONValue, path: String
    ) throws {
        let _: Element = try decoded(tree, over: defaults, path: path)
    }

    /// A part of the settings, from the tree of all settings.
    /// - Parameter path: path of the tree, for errors.
    /// - Throws: `InputError` that names the setting whose type is wrong.
    private static func decoded<Part: Decodable>(
        _ tree: JSONValue, over defaults: JSONValue, path: String = ""
    ) throws -> Part {
        func decode(_ tree: JSONValue) throws -> Part {
            try JSONDecoder().decode(Part.self, from: JSONEncoder().encode(tree))
        }
        do { return try decode(tree) } catch let error as DecodingError {
            // Foundation doesn't always say which, so each setting is tried alone.
            let wrong = tree.differences(from: defaults).first { name in
                let value = tree.value(at: name)
                return (try? decode(defaults.overlaid(with: .leaf(name, value)))) == nil
            }
            let name = path + (wrong ?? "")
            throw InputError(
                "\(name) is \(tree.value(at: wrong ?? "").text): it must be \(expectations[name] ?? error.expectation)")
        }
    }

    // MARK: - Values

    private func check() throws {
        try run.check()
        try data.check()
        try method.check()
    }

    /// These settings for continuing an earlier run: automatic settings keep the values found then.
    /// - Throws: `InputError` on a change of a setting that can't change once steps have been made.
    package func resuming(_ earlier: Configuration) throws -> Configuration {
        var result = self
        result.method = method.adopting(earlier.method)
        result.data = data.adopting(earlier.data)
        for path in try result.tree().differences(from: earlier.tree()) where !Self.isChangeable(path) {
            throw InputError(
                "\(path) differs from the run to resume, and can't change during a run: leave it out, or start a new "
                    + "run with another --output")
        }
        return result
    }
}

extension DecodingError {
    /// The expected value, in words.
    fileprivate var expectation: String {
        switch self {
        case .typeMismatch(let type, _), .valueNotFound(let type, _): Self.words(type)
        case .dataCorrupted(let context):  // the tree is valid, so it is an unknown choice, or a number
            (context.underlyingError as? UnknownChoice)?.expectation ?? "a whole number that fits 64 bits"
        default: "of another form"
        }
    }

    private static func words(_ type: Any.Type) -> String {
        switch type {
        case is Int.Type, is UInt64.Type: "a whole number"
        case is Double.Type: "a number"
        case is Bool.Type: "true or false"
        case is String.Type: "a string"
        default: "\(type)"
        }
    }
}
