import Collectives
import Datasets
import Evaluation
import Foundation
import Tensors
import Training

/// The values of `--estimator`.
private enum EstimatorChoice: RawRepresentable, CaseIterable, Equatable {
    case critic(MutualInformationEstimator)
    /// Nearest neighbours.
    case ksg

    static let allCases = MutualInformationEstimator.allCases.map(EstimatorChoice.critic) + [.ksg]

    init?(rawValue: String) {
        guard let choice = Self.allCases.first(where: { $0.rawValue == rawValue }) else { return nil }
        self = choice
    }

    var rawValue: String {
        switch self {
        case .critic(let estimator): estimator.rawValue
        case .ksg: "ksg"
        }
    }
}

/// The report that `estimate` prints. A number that an estimator doesn't have is null.
private struct EstimateReport: Encodable {
    var estimator: String
    var nats, standardError: Double
    var warnings: [String]
    var rows: RowCounts
    var seed: UInt64, worldSize: Int
    var reference: NeighbourInformation?
    var ceiling: Double?  // smile has none
    var effectivePairs: Double?  // infoNCE has none
    // Of a critic.
    var critic: String?
    var trainingNats: Double?
    var step: Int?, batch: Int?
    var seconds = 0.0

    init(_ estimate: MutualInformationEstimate, _ settings: MutualInformation, seed: UInt64, worldSize: Int) {
        estimator = settings.estimator.rawValue
        (nats, standardError, warnings) = (estimate.nats, estimate.standardError, estimate.warnings)
        (rows, reference) = (estimate.rows, estimate.reference)
        (ceiling, effectivePairs) = (estimate.ceiling, estimate.effectivePairs)
        (critic, trainingNats) = (settings.critic.rawValue, estimate.trainingNats)
        (step, batch) = (estimate.step, settings.batch)
        (self.seed, self.worldSize) = (seed, worldSize)
    }

    init(_ estimate: NeighbourEstimate, seed: UInt64, worldSize: Int) {
        estimator = EstimatorChoice.ksg.rawValue
        (nats, standardError) = (estimate.found.nats, estimate.found.standardError)
        (warnings, rows, reference) = (estimate.warnings, estimate.rows, estimate.reference)
        (self.seed, self.worldSize) = (seed, worldSize)
    }

    private enum Key: String, CodingKey {
        case estimator, nats, ceiling, warning, critic, step, batch, seed, seconds
        case standardError = "standard_error"
        case referenceNats = "reference_nats"
        case trainingNats = "training_nats"
        case effectivePairs = "effective_pairs"
        case equalRows = "equal_rows"
        case trainingRows = "training_rows"
        case validationRows = "validation_rows"
        case testRows = "test_rows"
        case worldSize = "world_size"
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        // JSON has no infinities. A number that can't be computed is null, and a warning says so.
        func encode(_ value: Double?, _ key: Key) throws {
            try container.encode(value.flatMap { $0.isFinite ? $0 : nil }, forKey: key)
        }
        try container.encode(estimator, forKey: .estimator)
        try encode(nats, .nats)
        try encode(standardError, .standardError)
        try encode(ceiling, .ceiling)
        try encode(reference?.nats, .referenceNats)
        try container.encode(warnings.isEmpty ? nil : warnings.joined(separator: ". "), forKey: .warning)
        try container.encode(critic, forKey: .critic)
        try encode(trainingNats, .trainingNats)
        try encode(effectivePairs, .effectivePairs)
        try container.encode(step, forKey: .step)
        try container.encode(batch, forKey: .batch)
        try container.encode(rows.copies, forKey: .equalRows)
        let isTrained = critic != nil
        try container.encode(isTrained ? rows.training : nil, forKey: .trainingRows)
        try container.encode(isTrained ? rows.validation : nil, forKey: .validationRows)
        try container.encode(isTrained ? rows.test : nil, forKey: .testRows)
        try container.encode(seed, forKey: .seed)
        try container.encode(seconds, forKey: .seconds)
        try container.encode(worldSize, forKey: .worldSize)
    }
}

extension Program {
    static let estimate = Command(
        name: "estimate", summary: "Estimate the mutual information between paired rows of two .npy arrays, in nats.",
        usage: "--x x.npy --y y.npy [--estimator E] [--critic separable|concatenated] [--steps N] [--batch B]",
        options: [
            Option("x", "FILE", "numbers [N, …]; the axes after the first are one row"),
            Option("y", "FILE", "numbers [N, …]; row i belongs to the same sample as row i of x"),
            Option(
                "estimator", EstimatorChoice.allCases.map(\.rawValue).joined(separator: "|"),
                "ksg: nearest neighbours, without a critic, for at most 5 + 5 columns; infoNCE by default"),
            Option(
                "critic", "C",
                "separable (by default), or concatenated: a network applied to every pair, which is slow"),
            Option(
                "units", "U",
                "units of each of the critic's two hidden layers; 256 by default, 128 when concatenated"),
            Option("batch", "B", "rows of the global batch; 512 by default, 128 when concatenated"),
            Option(
                "candidates", "K",
                "held-out rows paired with each other; infoNCE can't exceed ln K; 2048 by "
                    + "default, 512 when concatenated"),
            Option(
                "steps", "N",
                "most updates; training ends earlier when validation rows stop improving; 2000 by default"),
            Option(
                "rate", "R",
                "learning rate; it falls to 0 along a cosine, sooner when rows stop improving; 0.001 by default"),
            Option(
                "held-out", "FRACTION",
                "fraction of rows not trained on: a third chooses the critic, the rest is "
                    + "for the report; 0.3 by default"),
            Option("seed", "S", "seed of the split, the critic's start and the batches; 0 by default"),
            Option("threads", "T", "threads of each rank; OMP_NUM_THREADS by default"),
        ],
        notes: """
            Prints one JSON object:
              nats            the critic's bound on rows that neither trained nor chose it. It lies below the mutual
                              information where the critic or the data don't suffice (smile may lie above).
              standard_error  by the infinitesimal jackknife over those rows, for this critic.
              reference_nats  the estimate by nearest neighbours (Kraskov et al. 2004, form 1; Gao et al. 2017 for equal
                              rows) from at most 10,000 rows; null for more than 5 columns of x or y.
              equal_rows      number of rows that are copies of others.
              warning         null where all is well. It says when the value is near the most that the estimator or this
                              number of rows can show, or below the reference; when the data are too few or copies; and
                              when training diverged, got worse early or was still improving at its last step.
            The critic also sees a column of at most 256 evenly spaced values as labels. A number that can't be computed
            is null, and warning says why.
            """
    ) { (arguments: Arguments, ranks: any Ranks) throws -> ExitStatus in
        let start = ContinuousClock.now
        let (choice, settings, seed, threads) = try ranks.agree {
            let choice = try arguments.choice("estimator", default: EstimatorChoice.critic(.infoNCE))
            let threads = try arguments.number("threads", in: 0...1024, default: 0)
            let seed = try arguments.seed()
            return (choice, try criticSettings(choice, arguments), seed, threads)
        }
        let device = try Program.device(threads: threads, ranks: ranks)
        let (x, y) = try readPairs(arguments, ranks: ranks, device: device)
        var report: EstimateReport
        if choice == .ksg {
            let estimate = try MutualInformation.byNeighbours(
                x: x, y: y, seed: seed, ranks: ranks, device: device)
            report = EstimateReport(estimate, seed: seed, worldSize: ranks.worldSize)
        } else {
            var shown = start
            let estimate = try settings(x: x, y: y, seed: seed, ranks: ranks, device: device) { line in
                guard ranks.isFirst, shown.duration(to: .now) > .seconds(5) else { return }
                shown = .now
                complain(line)
            }
            report = EstimateReport(estimate, settings, seed: seed, worldSize: ranks.worldSize)
        }
        if ranks.isFirst {
            for note in report.rows.notes { complain(note) }
            for warning in report.warnings { complain("warning: \(warning)") }
        }
        report.seconds = start.duration(to: .now) / .seconds(1)
        try tell(by: ranks) { try json(report) }
        return .success
    }

    /// The settings of the critic, from the command line.
    private static func criticSettings(_ choice: EstimatorChoice, _ arguments: Arguments) throws -> MutualInformation {
        var settings = MutualInformation(critic: try arguments.choice("critic", default: .separable))
        if case .critic(let estimator) = choice { settings.estimator = estimator }
        settings.units = try arguments.number("units", in: 1...65536, default: settings.units)
        settings.batch = try arguments.number("batch", in: 8...65536, default: settings.batch)
        settings.candidates = try arguments.number("candidates", in: 8...65536, default: settings.candidates)
        settings.steps = try arguments.number("steps", in: 1...10_000_000, default: settings.steps)
        settings.rate = try arguments.real("rate", in: 1e-9...1, default: settings.rate)
        settings.heldOut = try arguments.real("held-out", in: 0.1...0.9, default: settings.heldOut)
        guard choice == .ksg else { return settings }
        let unused = ["critic", "units", "batch", "candidates", "steps", "rate", "held-out"].filter(arguments.has)
        if let name = unused.first {
            throw InputError("--\(name) is for a critic, but --estimator ksg trains none: leave --\(name) out")
        }
        return settings
    }

    /// This rank's rows of both arrays, [n, columns] each. Columns are shifted and scaled; constant columns are 0.
    /// Collective.
    private static func readPairs(_ arguments: Arguments, ranks: any Ranks, device: Device) throws -> (Tensor, Tensor) {
        let (x, y) = try ranks.agree {
            let (xPath, yPath) = (try arguments.required("x"), try arguments.required("y"))
            let x = try NumPyArray(path: xPath, accepting: NumPyElement.allCases)
            let y = try NumPyArray(path: yPath, accepting: NumPyElement.allCases)
            guard x.rows == y.rows else {
                throw InputError(
                    "\(xPath) has \(x.rows) rows but \(yPath) has \(y.rows): each row of x needs its row of y")
            }
            return (x, y)
        }
        let rows = x.rows * ranks.rank / ranks.worldSize..<x.rows * (ranks.rank + 1) / ranks.worldSize
        return (
            try readRows(rows, of: x, ranks: ranks, device: device),
            try readRows(rows, of: y, ranks: ranks, device: device)
        )
    }

    private static func readRows(
        _ rows: Range<Int>, of array: NumPyArray, ranks: any Ranks, device: Device
    ) throws -> Tensor {
        let (scale, values) = try ranks.agree {
            let scale = try ColumnScale(of: array)
            let values = try array.read(rows: rows, by: scale)
            if let index = values.firstIndex(where: { !$0.isFinite }) {
                let reason = try array.refusal(ofValue: index, inRowsFrom: rows.lowerBound)
                throw InputError("\(reason), of both arrays")
            }
            return (scale, values)
        }
        let result = device.tensor([rows.count, array.rowSize], values)
        let constants = try scale.constantColumns(of: values, ranks: ranks)
        for row in 0..<rows.count { for column in constants { result.matrix.row(row)[column] = 0 } }
        // An array of constant columns only is refused later.
        if ranks.isFirst, constants.count < array.rowSize,
            let remark = constantsRemark(constants, of: array.rowSize, noun: "column")
        {
            complain("\(array.path): \(remark)")
        }
        return result
    }
}
