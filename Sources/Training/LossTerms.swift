import Foundation
import Objectives

/// The losses of a step: a rank's parts of the global means, or the global means themselves.
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

    /// The loss that the run minimises: the sum of the main terms times their weights.
    package var loss: Double { names.indices.reduce(0) { areMain[$1] ? $0 + weights[$1] * values[$1] : $0 } }

    /// The bound in nats, where a term gives one.
    package var mutualInformation: Double? {
        for (index, ceiling) in ceilings.enumerated() {
            guard let ceiling else { continue }
            let bound = ceiling - values[index]
            return bound.isFinite ? bound : nil
        }
        return nil
    }

    /// Takes in the terms of a later pass of the step. Of two with the same name, the later counts.
    mutating func take(_ later: LossTerms) {
        for index in later.names.indices {
            if let old = names.firstIndex(of: later.names[index]) {
                values[old] = later.values[index]
            } else {
                names.append(later.names[index])
                values.append(later.values[index])
                weights.append(later.weights[index])
                areMain.append(later.areMain[index])
                ceilings.append(later.ceilings[index])
            }
        }
    }
}
