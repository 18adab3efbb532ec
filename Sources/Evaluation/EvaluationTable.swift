import Foundation

/// One number of an evaluation, as a line of metrics holds it.
package struct Score: Codable, Equatable, Sendable {
    /// Probe and features: `linear/trained code`.
    package let name: String
    /// Mean over seeds, in the unit of the probe's measure.
    package let value: Double
    /// Standard deviation over seeds (divided by their number less 1); nil for one seed.
    package let deviation: Double?
    /// How many seeds gave a value.
    package let seeds: Int
}

/// Values by features (rows, such as "trained code" or "raw pixels") and probe (columns), one or more a cell.
///
/// `description` is a table of plain text: accuracies in per cent, each other measure in its unit, and with more than
/// one value mean ± standard deviation. Rows and columns stand in the order in which they came.
package struct EvaluationTable: CustomStringConvertible, Sendable {
    private var features: [String] = []
    private var probes: [Probe] = []
    private var values: [String: [Probe: [Double]]] = [:]

    package init() {}

    /// Adds the value of one seed, in the unit of the probe's measure.
    package mutating func add(_ value: Double, features name: String, probe: Probe) {
        if !features.contains(name) { features.append(name) }
        if !probes.contains(probe) { probes.append(probe) }
        values[name, default: [:]][probe, default: []].append(value)
    }

    /// The cell's score, or nil where no value was added.
    package func score(features name: String, probe: Probe) -> Score? {
        guard let values = values[name]?[probe] else { return nil }
        let count = Double(values.count)
        let mean = values.reduce(0, +) / count
        let squares = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        return Score(
            name: "\(probe.rawValue)/\(name)", value: mean,
            deviation: values.count > 1 ? (squares / (count - 1)).squareRoot() : nil, seeds: values.count)
    }

    /// All cells, row after row.
    package var scores: [Score] {
        features.flatMap { name in probes.compactMap { score(features: name, probe: $0) } }
    }

    package var description: String {
        let header = ["of test images"] + probes.map(\.title)
        let body = features.map { name in
            [name] + probes.map { probe in score(features: name, probe: probe).map { probe.text($0) } ?? "-" }
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

extension Probe {
    /// Head of its column.
    package var title: String {
        switch self {
        case .linear, .svm, .knn, .mlp: "\(rawValue) %"
        case .reconstruction: "MS-SSIM"
        case .ndm: "NDM nats"
        case .mine: "MINE nats"
        }
    }

    /// A value as the table shows it.
    package func text(_ value: Double) -> String {
        switch measure {
        case .accuracy: String(format: "%.2f", 100 * value)
        case .similarity: String(format: "%.4f", value)
        case .nats: String(format: "%.2f", value)
        }
    }

    fileprivate func text(_ score: Score) -> String {
        text(score.value) + (score.deviation.map { " ± " + text($0) } ?? "")
    }
}
