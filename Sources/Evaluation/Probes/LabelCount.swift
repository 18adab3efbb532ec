import Collectives
import Foundation

/// How many training rows of each class a probe may see the labels of.
package enum LabelCount: Hashable, Sendable, CustomStringConvertible {
    /// So many of each class, at least 1. A class with fewer rows gives all of them.
    case perClass(Int)
    /// So many per cent of each class, above 0 and at most 100, rounded to whole rows. Each class gives at least one.
    case percent(Double)

    /// As in an option: `10`, or `1%`.
    package var description: String {
        switch self {
        case .perClass(let rows): "\(rows)"
        case .percent(let part): String(format: "%.15g%%", part)
        }
    }

    /// Counts separated by commas, each once.
    /// - Parameter option: names the option in messages.
    /// - Throws: `InputError` for anything else.
    package static func list(_ text: String, option: String) throws -> [LabelCount] {
        let words = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        let counts = try words.map { word in
            guard let count = LabelCount(word) else {
                throw InputError(
                    "\(option) is \(word): it must be a number of labels a class from 1 on, or a percentage of them "
                        + "above 0% and at most 100%, such as 10 or 1%")
            }
            return count
        }
        for (index, count) in counts.enumerated() where counts[..<index].contains(count) {
            throw InputError("\(option) is \(text): \(count) is given twice: give it once")
        }
        return counts
    }

    private init?(_ word: String) {
        if word.hasSuffix("%"), let part = Double(word.dropLast()), part > 0 && part <= 100 {
            self = .percent(part)
        } else if let rows = Int(word), rows >= 1 {
            self = .perClass(rows)
        } else {
            return nil
        }
    }

    /// The number of rows that a class of `rows` rows gives.
    func size(of rows: Int) -> Int {
        switch self {
        case .perClass(let count): min(count, rows)
        case .percent(let part): rows == 0 ? 0 : max(1, Int((part * Double(rows) / 100).rounded()))
        }
    }

    /// The number of rows that a class of `rows` rows would give if it had enough.
    func wanted(of rows: Int) -> Int {
        switch self {
        case .perClass(let count): count
        case .percent(let part): Int((part * Double(rows) / 100).rounded())
        }
    }
}
