import Foundation

/// One number of an evaluation, as a line of metrics holds it.
package struct Score: Codable, Equatable, Sendable {
    /// Probe and features: `linear/trained code`.
    package let name: String
    /// Accuracy in 0...1.
    package let value: Double
}

/// Accuracies by features (rows, such as "trained code" or "raw pixels") and probe (columns).
///
/// `description` is a table of plain text in per cent. Rows and columns stand in the order in which they came.
package struct EvaluationTable: CustomStringConvertible, Sendable {
    private var features: [String] = []
    private var probes: [Probe] = []
    private var accuracies: [String: [Probe: Double]] = [:]

    package init() {}

    /// Sets one cell. `accuracy` is in 0...1.
    package mutating func set(_ accuracy: Double, features name: String, probe: Probe) {
        if !features.contains(name) { features.append(name) }
        if !probes.contains(probe) { probes.append(probe) }
        accuracies[name, default: [:]][probe] = accuracy
    }

    /// The cell's accuracy, or nil where it wasn't set.
    package func accuracy(features name: String, probe: Probe) -> Double? { accuracies[name]?[probe] }

    /// All cells, row after row.
    package var scores: [Score] {
        features.flatMap { name in
            probes.compactMap { probe in
                accuracies[name]?[probe].map { Score(name: "\(probe.rawValue)/\(name)", value: $0) }
            }
        }
    }

    package var description: String {
        let header = ["test accuracy, %"] + probes.map(\.rawValue)
        let body = features.map { name in
            [name] + probes.map { accuracies[name]?[$0].map { String(format: "%.2f", 100 * $0) } ?? "-" }
        }
        let lines = [header] + body
        let widths = header.indices.map { column in lines.map { $0[column].count }.max() ?? 0 }
        return lines.map { line in
            zip(line, widths).enumerated().map { column, cell in
                let space = String(repeating: " ", count: cell.1 - cell.0.count)
                return column == 0 ? cell.0 + space : space + cell.0
            }.joined(separator: "  ")
        }.joined(separator: "\n")
    }
}
