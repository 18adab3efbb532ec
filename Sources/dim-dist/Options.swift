import Collectives

/// An option of a command, as the help shows it.
struct Option {
    let name: String
    /// The value's name in the help; nil for a switch.
    let value: String?
    let help: String
    /// The setting that this option sets.
    let setting: String?
    let repeats: Bool

    /// A switch.
    init(_ name: String, _ help: String) {
        self.init(name, value: nil, help)
    }

    init(_ name: String, _ value: String, _ help: String, setting: String? = nil, repeats: Bool = false) {
        self.init(name, value: value, help, setting: setting, repeats: repeats)
    }

    private init(_ name: String, value: String?, _ help: String, setting: String? = nil, repeats: Bool = false) {
        self.name = name
        self.value = value
        self.help = help
        self.setting = setting
        self.repeats = repeats
    }
}

/// The arguments typed after a command.
struct Arguments {
    private let values: [String: [String]]

    /// - Throws: `InputError` on an unknown option, a missing or empty value, or one given twice.
    init(_ words: [String], options: [Option]) throws {
        var values: [String: [String]] = [:]
        var rest = words[...]
        while let word = rest.popFirst() {
            let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard let option = options.first(where: { "--" + $0.name == parts[0] }) else {
                let names = options.map { "--" + $0.name }
                let nearest = names.min { parts[0].distance(to: $0) < parts[0].distance(to: $1) } ?? "--help"
                throw InputError("unknown option \(parts[0]): did you mean \(nearest)?")
            }
            if values[option.name] != nil && !option.repeats { throw InputError("\(parts[0]) is given twice") }
            if let meaning = option.value {
                guard let value = parts.count == 2 ? parts[1] : rest.popFirst(), !value.isEmpty else {
                    throw InputError("\(parts[0]) needs a value: write \(parts[0]) \(meaning)")
                }
                values[option.name, default: []].append(value)
            } else {
                guard parts.count == 1 else { throw InputError("\(parts[0]) takes no value") }
                values[option.name] = []
            }
        }
        self.values = values
    }

    func has(_ name: String) -> Bool { values[name] != nil }
    func all(_ name: String) -> [String] { values[name] ?? [] }
    func text(_ name: String) -> String? { values[name]?.last }

    func required(_ name: String) throws -> String {
        guard let text = text(name) else { throw InputError("--\(name) is missing: the command needs it (see --help)") }
        return text
    }

    func number(_ name: String, in range: ClosedRange<Int>, default standard: Int) throws -> Int {
        guard let text = text(name) else { return standard }
        guard let number = Int(text), range.contains(number) else {
            throw InputError(
                "--\(name) is \(text): it must be a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    /// The seed of random numbers; 0 by default.
    func seed() throws -> UInt64 {
        guard let text = text("seed") else { return 0 }
        guard let seed = UInt64(text) else {
            throw InputError("--seed is \(text): it must be a whole number from 0 to \(UInt64.max)")
        }
        return seed
    }

    func real(_ name: String, in range: ClosedRange<Double>, default standard: Double) throws -> Double {
        guard let text = text(name) else { return standard }
        guard let number = Double(text), range.contains(number) else {
            throw InputError(
                "--\(name) is \(text): it must be a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    func choice<Choice: RawRepresentable & CaseIterable>(_ name: String, default standard: Choice) throws -> Choice
    where Choice.RawValue == String {
        guard let text = text(name) else { return standard }
        return try Self.choice(text, of: "--\(name)")
    }

    /// Comma-separated values, each once.
    func choices<Choice: RawRepresentable & CaseIterable>(_ name: String, default standard: [Choice]) throws -> [Choice]
    where Choice.RawValue == String {
        guard let text = text(name) else { return standard }
        let words = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        for (index, word) in words.enumerated() where words[..<index].contains(word) {
            throw InputError("--\(name) is \(text): \(word) is given twice: give it once")
        }
        return try words.map { try Self.choice($0, of: "--\(name)") }
    }

    private static func choice<Choice: RawRepresentable & CaseIterable>(_ text: String, of name: String) throws
        -> Choice
    where Choice.RawValue == String {
        guard let choice = Choice(rawValue: text) else {
            let known = Choice.allCases.map(\.rawValue).joined(separator: ", ")
            throw InputError("\(name) is \(text): it must be one of \(known)")
        }
        return choice
    }
}
