import Autodiff

/// One loss of a pass, and what it weighs in what is minimised.
package struct Term {
    /// As in `metrics.jsonl`.
    package let name: String
    package let weight: Double
    /// This rank's part of the mean over the global batch, a scalar.
    package let value: Variable
    /// Whether it counts in the run's loss: a discriminator's own loss doesn't.
    package var isMain = true
    /// The mutual information in nats is at least `ceiling` less the value, where it bounds that at all.
    package var ceiling: Double?

    package init(_ name: String, _ weight: Double, _ value: Variable, isMain: Bool = true, ceiling: Double? = nil) {
        self.name = name
        self.weight = weight
        self.value = value
        self.isMain = isMain
        self.ceiling = ceiling
    }
}
