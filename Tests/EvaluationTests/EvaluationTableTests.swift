import Evaluation
import Testing

@Suite struct EvaluationTableTests {
    private var table: EvaluationTable {
        var table = EvaluationTable()
        table.set(0.71234, features: "trained code", probe: .linear)
        table.set(1, features: "trained code", probe: .knn)
        table.set(0.1, features: "raw pixels", probe: .linear)
        return table
    }

    @Test func isAligned() {
        #expect(
            table.description == """
                test accuracy, %  linear     knn
                trained code       71.23  100.00
                raw pixels         10.00       -
                """)
    }

    @Test func givesScoresForMetrics() {
        #expect(table.scores.map(\.name) == ["linear/trained code", "knn/trained code", "linear/raw pixels"])
        #expect(table.scores.map(\.value) == [0.71234, 1, 0.1])
        #expect(table.accuracy(features: "raw pixels", probe: .linear) == 0.1)
        #expect(table.accuracy(features: "raw pixels", probe: .mlp) == nil)
    }

    @Test func aCellCanBeSetAgain() {
        var table = table
        table.set(0.2, features: "raw pixels", probe: .linear)
        #expect(table.accuracy(features: "raw pixels", probe: .linear) == 0.2)
        #expect(table.scores.count == 3)
    }
}
