import Evaluation
import Testing

@Suite struct EvaluationTableTests {
    private var table: EvaluationTable {
        var table = EvaluationTable()
        table.add(Finding(value: 0.71234), features: "trained code", column: .init(.linear))
        table.add(Finding(value: 1), features: "trained code", column: .init(.knn))
        table.add(Finding(value: 0.1), features: "raw pixels", column: .init(.linear))
        return table
    }

    @Test func isAligned() {
        #expect(
            table.description == """
                of test images  linear %   knn %
                trained code       71.23  100.00
                raw pixels         10.00       -
                """)
    }

    @Test func givesScoresForMetrics() {
        #expect(table.scores.map(\.name) == ["linear/trained code", "knn/trained code", "linear/raw pixels"])
        #expect(table.scores.map(\.value) == [0.71234, 1, 0.1])
        #expect(table.scores.allSatisfy { $0.deviation == nil && $0.seeds == 1 })
        #expect(table.score(features: "raw pixels", column: .init(.mlp)) == nil)
    }

    @Test func seedsGiveMeanAndDeviation() throws {
        var table = table
        for value in [0.7, 0.71, 0.75] { table.add(Finding(value: value), features: "raw pixels", column: .init(.knn)) }
        // mean 0.72, squares 0.0004 + 0.0001 + 0.0009 over 2
        let score = try #require(table.score(features: "raw pixels", column: .init(.knn)))
        #expect(abs((score.value ?? 0) - 0.72) < 1e-12)
        #expect(abs((score.deviation ?? 0) - 0.0007.squareRoot()) < 1e-12)
        #expect(score.seeds == 3)
        #expect(
            table.description == """
                of test images  linear %         knn %
                trained code       71.23        100.00
                raw pixels         10.00  72.00 ± 2.65
                """)
    }

    @Test func measuresHaveUnitsOfTheirOwn() {
        var table = EvaluationTable()
        table.add(Finding(value: 0.123456), features: "code", column: .init(.svm))
        table.add(Finding(value: 0.123456), features: "code", column: .init(.reconstruction))
        table.add(Finding(value: -0.123456), features: "code", column: .init(.ndm))
        #expect(
            table.description == """
                of test images  svm %  MS-SSIM  NDM nats
                code            12.35   0.1235     -0.12
                """)
    }

    @Test func cellsPointToTheirNotes() throws {
        var table = table
        table.add(Finding(value: 8429.031, notes: ["too much"]), features: "trained code", column: .init(.ndm))
        table.add(failure: "diverged", features: "raw pixels", column: .init(.ndm))
        table.add(Finding(value: 0.5, notes: ["too much"]), features: "raw pixels", column: .init(.knn))
        table.add(failure: "diverged", features: "raw pixels", column: .init(.knn))  // of another seed
        #expect(
            table.description == """
                of test images  linear %         knn %     NDM nats
                trained code       71.23        100.00  8429.03 [1]
                raw pixels         10.00  50.00 [1, 2]        – [2]
                """)
        #expect(table.legend == ["[1] too much", "[2] diverged"])
        let failed = try #require(table.score(features: "raw pixels", column: .init(.ndm)))
        #expect(failed.value == nil && failed.seeds == 0 && failed.notes == ["diverged"])
        #expect(table.score(features: "raw pixels", column: .init(.knn))?.seeds == 1)
    }
}
