import Autodiff
import Collectives
import Datasets
import Foundation
import Objectives
import Tensors
import Training

/// The report that `objective` prints.
private struct ObjectiveReport: Encodable {
    let estimator: String
    let loss: Double
    let mutualInformation: Double?
    let images: Int
    let worldSize: Int

    private enum Key: String, CodingKey {
        case estimator, loss, images
        case mutualInformation = "mutual_information"
        case worldSize = "world_size"
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(estimator, forKey: .estimator)
        try container.encode(loss, forKey: .loss)
        try container.encode(mutualInformation, forKey: .mutualInformation)  // null where the loss gives no bound
        try container.encode(images, forKey: .images)
        try container.encode(worldSize, forKey: .worldSize)
    }
}

extension Program {
    static let objective = Command(
        name: "objective", summary: "Compute a loss and its gradients from .npy files, for ports and tests.",
        usage: "--locals l.npy --globals g.npy --estimator E [--anchor A] [--gradients DIR]",
        options: [
            Option("locals", "FILE", "local vectors, float32 [N, M², d]; each rank takes a slice of the N images"),
            Option("globals", "FILE", "global vectors, float32 [N, d]"),
            Option(
                "estimator", Estimator.allCases.map(\.rawValue).joined(separator: "|"),
                "estimator; infoNCE by default"),
            Option("anchor", "global|local|both", "vectors that have a softmax in infoNCE; global by default"),
            Option(
                "compat", "exact|published",
                "published: infoNCE with the published code's mask of -10; exact by default"),
            Option("gradients", "DIR", "folder for the gradients of the loss: locals.npy and globals.npy"),
        ]
    ) { (arguments: Arguments, ranks: any Ranks) throws -> ExitStatus in
        let device = try Program.device(threads: 0, ranks: ranks)
        let (loss, input) = try ranks.agree {
            let estimator: Estimator = try arguments.choice("estimator", default: .infoNCE)
            let anchor: Anchor = try arguments.choice("anchor", default: .global)
            let compatibility: Compatibility = try arguments.choice("compat", default: .exact)
            try estimator.check(anchor, compatibility) { $0 == "anchor" ? "--anchor \($1)" : "--compat \($1)" }
            let input = try ObjectiveInput(arguments, rank: ranks.rank, worldSize: ranks.worldSize, device: device)
            return (ContrastiveLoss(estimator, anchor: anchor, compatibility: compatibility), input)
        }
        if ranks.isFirst { for note in input.notes { complain(note) } }
        let (images, locations, dimensions) = (input.shape[0], input.shape[1], input.shape[2])
        let result = try loss(
            locals: [LocalFactor(values: input.locals, columns: 0..<dimensions)], globals: input.globals,
            locations: locations, shares: input.shares, device: device, ranks: ranks)
        let total = try ranks.sum([result.loss])[0]
        try ranks.agree {
            guard total.isFinite else {
                throw InputError(
                    "the loss is \(total), because scores overflow float32: scale the locals and globals down")
            }
        }
        if let folder = arguments.text("gradients") {
            let names = [
                ("locals.npy", input.shape, result.locals[0]), ("globals.npy", [images, dimensions], result.globals),
            ]
            try ranks.agree {
                guard ranks.isFirst else { return }
                try makeFolder(folder)
                for (name, shape, _) in names { _ = try NumPyArray.create(path: "\(folder)/\(name)", shape: shape) }
            }
            try ranks.agree {
                for (name, _, values) in names {
                    try NumPyArray(path: "\(folder)/\(name)").write(
                        rows: input.shares.first, values: UnsafeBufferPointer(values.elements))
                }
            }
        }
        try tell(by: ranks) {
            let report = ObjectiveReport(
                estimator: loss.estimator.rawValue, loss: total,
                mutualInformation: loss.estimator.mutualInformation(
                    loss: total, anchor: loss.anchor, images: images, locations: locations),
                images: images, worldSize: ranks.worldSize)
            return try json(report)
        }
        return .success
    }
}

/// This rank's slice of the features.
private struct ObjectiveInput {
    /// [N, M², d]
    let shape: [Int]
    let locals: Tensor  // [n·M², d]
    let globals: Tensor  // [n, d]
    let shares: Shares
    /// Notes on conversions of the files' numbers, a line each.
    let notes: [String]

    init(_ arguments: Arguments, rank: Int, worldSize: Int, device: Device) throws {
        let (localsPath, globalsPath) = (try arguments.required("locals"), try arguments.required("globals"))
        let (localsFile, globalsFile) = (try NumPyArray(path: localsPath), try NumPyArray(path: globalsPath))
        shape = localsFile.shape
        guard shape.count == 3, shape[0] >= 2, shape[1] >= 1, shape[2] >= 1 else {
            throw InputError("\(localsPath) has shape \(shape): expected [N, M², d] with N of at least 2 images")
        }
        guard globalsFile.shape == [shape[0], shape[2]] else {
            throw InputError(
                "\(globalsPath) has shape \(globalsFile.shape): expected \([shape[0], shape[2]]), to fit \(localsPath)")
        }
        notes = [localsFile, globalsFile].filter { $0.element == .float64 }.map {
            "\($0.path): its float64 numbers are rounded to float32, in which losses are computed"
        }
        let starts = (0...worldSize).map { $0 * localsFile.shape[0] / worldSize }
        shares = Shares(counts: (0..<worldSize).map { starts[$0 + 1] - starts[$0] }, rank: rank)
        let rows = starts[rank]..<starts[rank + 1]
        let (localValues, globalValues) = (try localsFile.read(rows: rows), try globalsFile.read(rows: rows))
        for (path, values) in [(localsPath, localValues), (globalsPath, globalValues)] {
            guard values.allSatisfy(\.isFinite) else { throw InputError("\(path) holds values that are not finite") }
        }
        locals = device.tensor([rows.count * shape[1], shape[2]], localValues)
        globals = device.tensor([rows.count, shape[2]], globalValues)
    }
}
