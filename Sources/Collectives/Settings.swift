/// A part of a run's settings: a struct whose properties are settings or parts.
package protocol SettingsTree: Codable, Equatable, Sendable {
    /// The defaults.
    init()
    /// A line for each setting, by its dotted path under this part.
    static var help: [String: String] { get }
    /// Settings that a resumed run may change; all others decided what its past steps computed.
    static var changeable: [String] { get }
    /// What a setting must be, where its type doesn't tell.
    static var expectations: [String: String] { get }
    /// Defaults of an element of those settings that are lists of parts.
    static var elements: [String: any Codable & Sendable] { get }
}

extension SettingsTree {
    package static var changeable: [String] { [] }
    package static var expectations: [String: String] { [:] }
    package static var elements: [String: any Codable & Sendable] { [:] }

    /// What is said of this part's settings, under the name that it has in a larger one.
    package static func help(under name: String) -> [String: String] {
        Dictionary(uniqueKeysWithValues: help.map { ("\(name).\($0)", $1) })
    }

    package static func changeable(under name: String) -> [String] { changeable.map { "\(name).\($0)" } }

    package static func expectations(under name: String) -> [String: String] {
        Dictionary(uniqueKeysWithValues: expectations.map { ("\(name).\($0)", $1) })
    }

    package static func elements(under name: String) -> [String: any Codable & Sendable] {
        Dictionary(uniqueKeysWithValues: elements.map { ("\(name).\($0)", $1) })
    }
}

/// Refuses a setting's value.
/// - Throws: `InputError` unless the condition holds.
package func require(_ condition: Bool, _ name: String, _ value: Any, _ limit: String) throws {
    guard condition else { throw InputError("\(name) is \(value): it must be \(limit)") }
}

/// A setting that is one of some words. One that isn't is refused with all of them.
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
