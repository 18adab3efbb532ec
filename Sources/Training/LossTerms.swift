import Foundation
import Objectives

/// The losses of a step: a rank's parts of the global means, or these themselves.
package struct LossTerms: Equatable, Sendable {
    package private(set) var names: [String]
    package var values: [Double]
    private var weights: [Double]
    private var areMain: [Bool]
    private var ceilings: [Double?]

    package init(_ terms: [Term]) {
        names = terms.map(\.name)
        precondition(Set(names).count == names.count, "two terms of a pass have one name: \(names)")
        values = terms.map { Double($0.value.value.base[0]) }
        weights = terms.map(\.weight)
        areMain = terms.map(\.isMain)
        ceilings = terms.map(\.ceiling)
    }

    /// What the run minimises: each main term times its weight.
    package var loss: Double { names.indices.reduce(0) { areMain[$1] ? $0 + weights[$1] * values[$1] : $0 } }

    /// The bound in nats, where a term gives one.
    package var mutualInformation: Double? {
        for (place, ceiling) in ceilings.enumerated() {
            guard let ceiling else { continue }
            let bound = ceiling - values[place]
            return bound.isFinite ? bound : nil
        }
        return nil
    }

    /// Takes in those of a later pass of the step; of two with one name the later counts.
    mutating func take(_ later: LossTerms) {
        for place in later.names.indices {
            if let old = names.firstIndex(of: later.names[place]) {
                values[old] = later.values[place]
            } else {
                names.append(later.names[place])
                values.append(later.values[place])
                weights.append(later.weights[place])
                areMain.append(later.areMain[place])
                ceilings.append(later.ceilings[place])
            }
        }
    }
}
