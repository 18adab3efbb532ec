import Foundation
import Objectives

/// The losses of a step: a rank's parts of the global means, or the global means themselves.
package struct LossTerms: Equatable, Sendable {
    /// A term without its variable.
    private struct Part: Equatable {
        let name: String
        let weight: Double
        let isMain: Bool
        let ceiling, uninformed, healthy: Double?
    }

    private var parts: [Part]
    package var values: [Double]

    package init(_ terms: [Term]) {
        parts = terms.map {
            Part(
                name: $0.name, weight: $0.weight, isMain: $0.isMain, ceiling: $0.ceiling, uninformed: $0.uninformed,
                healthy: $0.healthy)
        }
        values = terms.map { Double($0.value.value.base[0]) }
        precondition(Set(names).count == names.count, "two terms of a pass have one name: \(names)")
    }

    package var names: [String] { parts.map(\.name) }

    /// The loss that the run minimises: the sum of the main terms times their weights.
    package var loss: Double { zip(parts, values).reduce(0) { $1.0.isMain ? $0 + $1.0.weight * $1.1 : $0 } }

    /// The loss where codes tell nothing of their image; nil where a main term has no such value.
    package var uninformedLoss: Double? {
        parts.filter(\.isMain).reduce(0) { sum, part in
            guard let sum, let value = part.uninformed else { return nil }
            return sum + part.weight * value
        }
    }

    /// The deviation of codes, and its value where they are spread evenly; nil where no term measures it.
    package var codeDeviation: (value: Double, healthy: Double)? {
        zip(parts, values).lazy.compactMap { part, value in part.healthy.map { (value, $0) } }.first
    }

    /// The bound in nats, where a term gives one.
    package var mutualInformation: Double? {
        for (part, value) in zip(parts, values) {
            guard let ceiling = part.ceiling else { continue }
            let bound = ceiling - value
            return bound.isFinite ? bound : nil
        }
        return nil
    }

    /// Takes in the terms of a later pass of the step. Of two with the same name, the later counts.
    mutating func take(_ later: LossTerms) {
        for (part, value) in zip(later.parts, later.values) {
            if let old = parts.firstIndex(where: { $0.name == part.name }) {
                values[old] = value
            } else {
                parts.append(part)
                values.append(value)
            }
        }
    }
}
