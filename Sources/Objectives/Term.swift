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
    /// The value where codes tell nothing of their image, for example because all are equal; nil where there is no such
    /// value. That of a bound is its ceiling.
    package var uninformed: Double?
    /// For a deviation of codes: the value where they are spread evenly. Far below it they have collapsed.
    package var healthy: Double?

    package init(
        _ name: String, _ weight: Double, _ value: Variable, isMain: Bool = true, ceiling: Double? = nil,
        uninformed: Double? = nil, healthy: Double? = nil
    ) {
        self.name = name
        self.weight = weight
        self.value = value
        self.isMain = isMain
        self.ceiling = ceiling
        self.uninformed = uninformed ?? ceiling
        self.healthy = healthy
    }

    /// The deviation of codes, a measurement without a gradient (`Tape.codeDeviation`). Collective.
    /// - Parameter codes: unit vectors, [rows, D].
    package static func deviation(of codes: Variable, on tape: Tape) throws -> Term {
        Term(
            "code_deviation", 0, try tape.codeDeviation(codes), isMain: false,
            healthy: 1 / Double(max(codes.shape[1], 1)).squareRoot())
    }
}
