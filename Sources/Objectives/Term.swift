import Autodiff

/// One loss of a pass, with its weight in the objective.
package struct Term {
    /// The name, as in `metrics.jsonl`.
    package let name: String
    package let weight: Double
    /// This rank's part of the mean over the global batch, a scalar.
    package let value: Variable
    /// Whether it is part of the run's loss; a discriminator's own loss isn't.
    package var isMain = true
    /// The mutual information in nats is at least `ceiling` minus the value; nil where the loss gives no bound.
    package var ceiling: Double?

    package init(_ name: String, _ weight: Double, _ value: Variable, isMain: Bool = true, ceiling: Double? = nil) {
        self.name = name
        self.weight = weight
        self.value = value
        self.isMain = isMain
        self.ceiling = ceiling
    }
}
