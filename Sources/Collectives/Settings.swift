/// A part of a run's settings: a struct whose properties are settings, or parts.
package protocol SettingsTree: Codable, Equatable, Sendable {
    /// The defaults.
    init()
    /// The properties that are parts, by name.
    static var parts: [String: any SettingsTree.Type] { get }
    /// A help line for each of its own settings, by name. A line for a part's setting, by its dotted path, overrides
    /// the part's.
    static var help: [String: String] { get }
    /// Its own settings that a resumed run may change. All others determined the results of past steps.
    static var changeable: [String] { get }
    /// Expected values of its own settings, where the type doesn't say enough.
    static var expectations: [String: String] { get }
    /// Default elements of its own settings that are lists of parts.
    static var elements: [String: any Codable & Sendable] { get }
    /// The defaults of the other settings, where one of these settings chooses a named set of them; otherwise
    /// `defaults`.
    func chosenDefaults(over defaults: Self) -> Self
}

extension SettingsTree {
    package static var parts: [String: any SettingsTree.Type] { [:] }
    package static var changeable: [String] { [] }
    package static var expectations: [String: String] { [:] }
    package static var elements: [String: any Codable & Sendable] { [:] }
    package func chosenDefaults(over defaults: Self) -> Self { defaults }

    // The same, including all parts, by dotted paths.
    package static var wholeHelp: [String: String] { whole(help) { $0.wholeHelp } }
    package static var wholeExpectations: [String: String] { whole(expectations) { $0.wholeExpectations } }
    package static var wholeElements: [String: any Codable & Sendable] { whole(elements) { $0.wholeElements } }
    package static var wholeChangeable: Set<String> {
        Set(
            whole(Dictionary(uniqueKeysWithValues: changeable.map { ($0, true) })) { part in
                Dictionary(uniqueKeysWithValues: part.wholeChangeable.map { ($0, true) })
            }.keys)
    }

    private static func whole<Value>(
        _ own: [String: Value], of part: (any SettingsTree.Type) -> [String: Value]
    ) -> [String: Value] {
        parts.reduce(own) { whole, next in
            let named = part(next.value).map { ("\(next.key).\($0)", $1) }
            return whole.merging(named) { mine, _ in mine }
        }
    }
}

/// A setting that is a list. A single element is written without brackets.
package protocol ListSetting: Codable, Equatable, Sendable {
    associatedtype Element: Codable & Sendable
    var values: [Element] { get }
    init(_ values: [Element])
}

extension ListSetting {
    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let single = try? container.decode(Element.self)
        self.init(try single.map { [$0] } ?? container.decode([Element].self))
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        if values.count == 1 { try container.encode(values[0]) } else { try container.encode(values) }
    }
}

/// Refuses a setting's value.
/// - Throws: `InputError` unless the condition holds.
package func require(_ condition: Bool, _ name: String, _ value: Any, _ limit: String) throws {
    guard condition else { throw InputError("\(name) is \(value): it must be \(limit)") }
}

/// A setting that is one of several words. Another word is refused with a list of them.
package protocol Choice: Codable, CaseIterable, RawRepresentable, Sendable where RawValue == String {}

extension Choice {
    /// `one of a, b, c`.
    package static var expectation: String { "one of " + allCases.map(\.rawValue).joined(separator: ", ") }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        guard let text = try? container.decode(String.self), let choice = Self(rawValue: text) else {
            throw DecodingError.dataCorrupted(
                DecodingError.Context(
                    codingPath: container.codingPath, debugDescription: Self.expectation,
                    underlyingError: UnknownChoice(expectation: Self.expectation)))
        }
        self = choice
    }
}

/// Why a `Choice` could not be decoded.
package struct UnknownChoice: Error {
    package let expectation: String
}
