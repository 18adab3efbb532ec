import Collectives
import Datasets
import Evaluation
import Foundation
import Tensors
import Training

/// What `estimate` prints.
private struct EstimateReport: Encodable {
    let estimator: String
    let nats: Double
    let standardError: Double
    let ceiling: Double?
    let warning: String?
    let critic: String
    let trainingNats: Double
    let effectivePairs: Double?
    let step: Int
    let batch: Int
    let trainingRows: Int
    let validationRows: Int
    let testRows: Int
    let seed: UInt64
    let seconds: Double
    let worldSize: Int

    private enum Key: String, CodingKey {
        case estimator, nats, ceiling, warning, critic, step, batch, seed, seconds
        case standardError = "standard_error"
        case trainingNats = "training_nats"
        case effectivePairs = "effective_pairs"
        case trainingRows = "training_rows"
        case validationRows = "validation_rows"
        case testRows = "test_rows"
        case worldSize = "world_size"
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(estimator, forKey: .estimator)
        // JSON has no infinities: null where a number can't be told, beside a warning.
        try container.encode(nats.isFinite ? nats : nil, forKey: .nats)
        try container.encode(standardError.isFinite ? standardError : nil, forKey: .standardError)
        try container.encode(ceiling, forKey: .ceiling)  // null for smile
        try container.encode(warning, forKey: .warning)  // null where nothing is wrong
        try container.encode(critic, forKey: .critic)
        try container.encode(trainingNats.isFinite ? trainingNats : nil, forKey: .trainingNats)
        try container.encode(effectivePairs, forKey: .effectivePairs)  // null for InfoNCE
        try container.encode(step, forKey: .step)
        try container.encode(batch, forKey: .batch)
        try container.encode(trainingRows, forKey: .trainingRows)
        try container.encode(validationRows, forKey: .validationRows)
        try container.encode(testRows, forKey: .testRows)
        try container.encode(seed, forKey: .seed)
        try container.encode(seconds, forKey: .seconds)
        try container.encode(worldSize, forKey: .worldSize)
    }
}

extension Program {
    static let estimate = Command(
        name: "estimate", summary: "Estimate the mutual information of the paired rows of two .npy arrays, in nats.",
        usage: "--x x.npy --y y.npy [--estimator E] [--critic separable|concatenated] [--steps N] [--batch B]",
        options: [
            Option("x", "FILE", "[N, …], real numbers of any type; what follows the first axis is taken as one row"),
            Option("y", "FILE", "[N, …], row i of the same sample as row i of x"),
            Option(
                "estimator", MutualInformationEstimator.allCases.map(\.rawValue).joined(separator: "|"),
                "infoNCE by default"),
            Option("critic", "C", "separable (by default), or concatenated: one network over every pair, costly"),
            Option("units", "U", "of each of the critic's two hidden layers; 256, or 128 when concatenated"),
            Option("batch", "B", "rows of the global batch; 512, or 128 when concatenated"),
            Option("candidates", "K", "held-out rows paired with each other: infoNCE can't pass ln K; 2048 or 512"),
            Option("steps", "N", "updates at most, fewer when validation rows gain no more; 2000 by default"),
            Option("rate", "R", "learning rate, falling to 0 along a cosine; 0.001 by default"),
            Option("held-out", "SHARE", "rows not trained on: a third to choose by, the rest to report on; 0.3"),
            Option("seed", "S", "of the split, the critic's start and the batches; 0 by default"),
            Option("threads", "T", "threads of each rank; OMP_NUM_THREADS by default"),
        ],
        notes: """
            Prints one JSON object. nats is the critic's bound on rows that neither trained nor chose it, so it lies below
            the mutual information where the critic or the data don't suffice (smile may lie above). standard_error is
            the infinitesimal jackknife's over those rows, for this critic. warning, null where all is well, says when the
            value is near what the estimator or so many rows can tell, when the data are too few, and when training diverged
            or was still gaining at its last step. A number that can't be told is null, beside a warning.
            """
    ) { (arguments: Arguments, ranks: any Ranks) throws -> ExitStatus in
        let start = ContinuousClock.now
        let (settings, seed, threads) = try ranks.agree {
            var settings = MutualInformation(critic: try arguments.choice("critic", default: .separable))
            settings.estimator = try arguments.choice("estimator", default: settings.estimator)
            settings.units = try arguments.number("units", in: 1...65536, default: settings.units)
            settings.batch = try arguments.number("batch", in: 8...65536, default: settings.batch)
            settings.candidates = try arguments.number("candidates", in: 8...65536, default: settings.candidates)
            settings.steps = try arguments.number("steps", in: 1...10_000_000, default: settings.steps)
            settings.rate = try arguments.real("rate", in: 1e-9...1, default: settings.rate)
            settings.heldOut = try arguments.real("held-out", in: 0.1...0.9, default: settings.heldOut)
            let threads = try arguments.number("threads", in: 0...1024, default: 0)
            return (settings, try arguments.seed(), threads)
        }
        let device = try Program.device(threads: threads, ranks: ranks)
        let (x, y) = try readPairs(arguments, ranks: ranks, device: device)
        var told = start
        let estimate = try settings(x: x, y: y, seed: seed, ranks: ranks, device: device) { line in
            guard ranks.isFirst, told.duration(to: .now) > .seconds(5) else { return }
            told = .now
            complain(line)
        }
        if ranks.isFirst { for warning in estimate.warnings { complain("warning: \(warning)") } }
        try tell(by: ranks) {
            let report = EstimateReport(
                estimator: settings.estimator.rawValue, nats: estimate.nats, standardError: estimate.standardError,
                ceiling: estimate.ceiling,
                warning: estimate.warnings.isEmpty ? nil : estimate.warnings.joined(separator: ". "),
                critic: settings.critic.rawValue, trainingNats: estimate.trainingNats,
                effectivePairs: estimate.effectivePairs, step: estimate.step, batch: settings.batch,
                trainingRows: estimate.trainingRows, validationRows: estimate.validationRows,
                testRows: estimate.testRows,
                seed: seed, seconds: start.duration(to: .now) / .seconds(1), worldSize: ranks.worldSize)
            return try json(report)
        }
        return .success
    }

    /// This rank's rows of both arrays, [n, columns] each, columns shifted and scaled, the constant ones to 0. Collective.
    private static func readPairs(_ arguments: Arguments, ranks: any Ranks, device: Device) throws -> (Tensor, Tensor) {
        let (x, y) = try ranks.agree {
            let (xPath, yPath) = (try arguments.required("x"), try arguments.required("y"))
            let x = try NumPyArray(path: xPath, accepting: NumPyElement.allCases)
            let y = try NumPyArray(path: yPath, accepting: NumPyElement.allCases)
            guard x.rows == y.rows else {
                throw InputError("\(xPath) has \(x.rows) rows and \(yPath) \(y.rows): give each row of x its row of y")
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
            if let place = values.firstIndex(where: { !$0.isFinite }) {
                let reason = try array.refusal(ofValue: place, inRowsFrom: rows.lowerBound)
                throw InputError("\(reason), of both arrays")
            }
            return (scale, values)
        }
        let result = device.tensor([rows.count, array.rowSize], values)
        let constants = try scale.constantColumns(of: values, ranks: ranks)
        for row in 0..<rows.count { for column in constants { result.matrix.row(row)[column] = 0 } }
        // Where all are, that is refused.
        if ranks.isFirst, constants.count < array.rowSize,
            let remark = constantsRemark(constants, of: array.rowSize, noun: "column")
        {
            complain("\(array.path): \(remark)")
        }
        return result
    }
}
