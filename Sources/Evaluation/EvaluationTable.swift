import Foundation

/// One number of an evaluation, as a line of metrics holds it.
package struct Score: Codable, Equatable, Sendable {
    /// Column and features: `linear/trained code`, `linear@10/trained code`.
    package let name: String
    /// Mean over seeds, in the unit of the probe's measure; nil where no seed gave a value.
    package let value: Double?
    /// Standard deviation over seeds (divided by their number less 1); nil for one seed.
    package let deviation: Double?
    /// Number of seeds that gave a value.
    package let seeds: Int
    /// Notes on the value, or why there is none.
    package let notes: [String]
}

/// A column of an evaluation.
package struct EvaluationColumn: Hashable, Sendable {
    package let probe: Probe
    /// How many labels the probe sees; nil where it sees all, or needs none.
    package let labels: LabelCount?

    package init(_ probe: Probe, labels: LabelCount? = nil) { (self.probe, self.labels) = (probe, labels) }

    /// As in metrics: `linear`, or `linear@10` for ten labels a class.
    package var name: String { probe.rawValue + (labels.map { "@\($0)" } ?? "") }

    /// As in the table's header.
    package var title: String {
        switch probe {
        case .linear, .svm, .knn, .mlp, .mlpPublished: "\(name) %"
        case .reconstruction: "MS-SSIM"
        case .ndm: "NDM nats"
        case .mine: "MINE nats"
        }
    }
}

/// Values by features (rows, such as "trained code" or "raw pixels") and probe (columns), one or more in each cell.
///
/// `description` is a table of plain text, with accuracies in per cent and other measures in their unit. Several values
/// are shown as mean ± standard deviation; – means that a probe failed. A cell with notes has their numbers, as in
/// `legend`. Rows and columns are in the order in which they were added.
package struct EvaluationTable: CustomStringConvertible, Sendable {
    private var features: [String] = []
    private var columns: [EvaluationColumn] = []
    private var cells: [String: [EvaluationColumn: Cell]] = [:]
    /// All notes; in the table they are numbered from 1.
    private var notes: [String] = []

    private struct Cell {
        var values: [Double] = []
        var notes: [String] = []
    }

    package init() {}

    /// Adds the result of one seed.
    package mutating func add(_ finding: Finding, features name: String, column: EvaluationColumn) {
        add(finding.value, notes: finding.notes, features: name, column: column)
    }

    /// Adds that one seed gave no value, and why.
    package mutating func add(failure: String, features name: String, column: EvaluationColumn) {
        add(nil, notes: [failure], features: name, column: column)
    }

    private mutating func add(_ value: Double?, notes: [String], features name: String, column: EvaluationColumn) {
        if !features.contains(name) { features.append(name) }
        if !columns.contains(column) { columns.append(column) }
        var cell = cells[name]?[column] ?? Cell()
        if let value { cell.values.append(value) }
        for note in notes {
            if !cell.notes.contains(note) { cell.notes.append(note) }
            if !self.notes.contains(note) { self.notes.append(note) }
        }
        cells[name, default: [:]][column] = cell
    }

    /// The cell's score, or nil where nothing was added.
    package func score(features name: String, column: EvaluationColumn) -> Score? {
        guard let cell = cells[name]?[column] else { return nil }
        let values = cell.values
        let count = Double(values.count)
        let mean = values.reduce(0, +) / count
        let squares = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        return Score(
            name: "\(column.name)/\(name)", value: values.isEmpty ? nil : mean,
            deviation: values.count > 1 ? (squares / (count - 1)).squareRoot() : nil, seeds: values.count,
            notes: cell.notes)
    }

    /// All cells of a row.
    package func scores(features name: String) -> [Score] {
        columns.compactMap { score(features: name, column: $0) }
    }

    /// All cells, row after row.
    package var scores: [Score] { features.flatMap { scores(features: $0) } }

    /// The notes, a line each: `[1] text`.
    package var legend: [String] { notes.enumerated().map { "[\($0 + 1)] \($1)" } }

    package var description: String {
        let header = ["of test images"] + columns.map(\.title)
        let body = features.map { name in
            [name]
                + columns.map { column in
                    score(features: name, column: column).map { text($0, of: column.probe) } ?? "-"
                }
        }
        let lines = [header] + body
        let widths = header.indices.map { index in lines.map { $0[index].count }.max() ?? 0 }
        return lines.map { line in
            zip(line, widths).enumerated().map { column, cell in
                let space = String(repeating: " ", count: cell.1 - cell.0.count)
                return column == 0 ? cell.0 + space : space + cell.0
            }.joined(separator: "  ")
        }.joined(separator: "\n")
    }

    private func text(_ score: Score, of probe: Probe) -> String {
        let value = score.value.map { probe.text($0) + (score.deviation.map { " ± " + probe.text($0) } ?? "") } ?? "–"
        let numbers = score.notes.compactMap { note in notes.firstIndex(of: note).map { "\($0 + 1)" } }
        return numbers.isEmpty ? value : "\(value) [\(numbers.joined(separator: ", "))]"
    }
}

extension Probe {
    /// A value as the table shows it.
    package func text(_ value: Double) -> String {
        switch measure {
        case .accuracy: String(format: "%.2f", 100 * value)
        case .similarity: String(format: "%.4f", value)
        case .nats: String(format: "%.2f", value)
        }
    }
}
