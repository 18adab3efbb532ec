import Collectives
import Datasets
import Evaluation
import Foundation
import Tensors

/// Judges features of a run's samples by every probe asked for, and keeps the table.
final class FeatureJudge {
    let probes: [Probe]
    /// The first is the run's own.
    let seeds: [UInt64]
    let reconstruction: Reconstruction
    let ranks: any Ranks
    let device: Device
    /// This rank's samples of the training and the test split.
    let train, test: EvaluationSamples
    private(set) var table = EvaluationTable()
    // IDX files don't say how many classes there are, and a split may lack the last.
    private let classes: Int
    private let record: (Score) throws -> Void
    private let labels: (train: [Int], test: [Int])

    /// Collective.
    /// - Parameter record: keeps a score of a row that is complete; called on the first rank.
    /// - Throws: `InputError` when the samples lack what a probe needs: labels, a number, or a shape that decoders make.
    init(
        probes: [Probe], seeds: [UInt64], reconstruction: Reconstruction, train: EvaluationSamples,
        test: EvaluationSamples, ranks: any Ranks, device: Device, record: @escaping (Score) throws -> Void
    ) throws {
        self.record = record
        self.probes = probes
        self.seeds = seeds
        self.reconstruction = reconstruction
        self.ranks = ranks
        self.device = device
        self.train = train
        self.test = test
        classes = max(train.classes ?? 0, test.classes ?? 0, 1)
        func labels(of samples: EvaluationSamples) throws -> [Int] {
            if let labels = samples.labels { return labels.map(Int.init) }
            if let probe = probes.first(where: { $0.measure == .accuracy }) {
                throw InputError(
                    "the data have no labels: eval --probe \(probe.rawValue) needs them, reconstruction, ndm and mine don't"
                )
            }
            return Array(repeating: 0, count: samples.own.count)
        }
        self.labels = try ranks.agree {  // now, and not after the probes before it
            for probe in probes where train.count < probe.fewestTrainingRows {
                throw InputError(
                    "\(train.count) training images: --probe \(probe.rawValue) needs at least "
                        + "\(probe.fewestTrainingRows), so leave it out")
            }
            if let probe = probes.first(where: \.needsPictures), train.images == nil {
                throw InputError("the data are no images: leave --probe \(probe.rawValue) out, which needs them")
            }
            if let train = train.images?.dataset, let test = test.images?.dataset, probes.contains(.reconstruction) {
                guard train.holdsBytes && test.holdsBytes else {
                    throw InputError("reconstruction needs pixels of 0 to 255: leave --probe reconstruction out")
                }
                try reconstruction.checkShape(train.shape)
            }
            return (try labels(of: train), try labels(of: test))
        }
    }

    /// Features of both splits from this rank's rows. Collective.
    func features(_ trainValues: Tensor, _ testValues: Tensor) throws -> (train: Features, test: Features) {
        (
            try Features(
                values: trainValues, labels: labels.train, classes: classes,
                pictures: (train.images?.dataset).map(Pictures.init), ranks: ranks),
            try Features(
                values: testValues, labels: labels.test, classes: classes,
                pictures: (test.images?.dataset).map(Pictures.init), ranks: ranks)
        )
    }

    /// Fills a row of the table, or adds to it. Collective. What bad input makes fail is noted in its cell.
    /// - Parameters:
    ///   - seeds: of the probes; a probe that has no use for seeds runs once.
    ///   - make: gives the row's features; collective.
    func judge(_ name: String, seeds: [UInt64], _ make: () throws -> (train: Features, test: Features)) throws {
        let outcome = try attempt(make)
        device.memory.trim()  // what made them
        switch outcome {
        case .failure(let refusal): for probe in probes { fail(name, probe, refusal) }
        case .success(let sets):
            for probe in probes {
                for seed in probe.isSeeded ? seeds : Array(seeds.prefix(1)) {
                    try add(name, probe) { progress in
                        try score(
                            probe, train: sets.train, test: sets.test, seed: seed, ranks: ranks, device: device,
                            reconstruction: reconstruction, progress: progress)
                    }
                }
            }
        }
        device.memory.trim()  // the next features have other sizes
    }

    /// Adds one value to the table and says so, with its time; or why there is none. Collective where `find` is.
    /// - Parameter find: gets what to call with a line of progress.
    func add(_ name: String, _ probe: Probe, find: (_ progress: (String) -> Void) throws -> Finding) throws {
        let start = ContinuousClock.now
        var told = start
        let outcome = try attempt {
            let finding = try find { line in
                guard ranks.isFirst, told.duration(to: .now) > .seconds(5) else { return }
                told = .now
                Program.complain("\(name), \(line)")
            }
            guard finding.value.isFinite else { throw InputError("its value is \(finding.value), which isn't finite") }
            return finding
        }
        switch outcome {
        case .failure(let refusal): fail(name, probe, refusal)
        case .success(let finding):
            table.add(finding, features: name, probe: probe)
            guard ranks.isFirst else { return }
            let seconds = String(format: "%.1f", start.duration(to: .now) / .seconds(1))
            Program.complain("\(name), \(probe.text(finding.value)) \(probe.title) in \(seconds) s")
        }
    }

    /// Keeps a row's scores, which are all there. Collective.
    func complete(_ name: String) throws {
        try ranks.agree { if ranks.isFirst { for score in table.scores(features: name) { try record(score) } } }
    }

    /// The table, and what one must know to read it.
    /// - Parameter run: which checkpoint it is of.
    func report(of run: String) throws -> String {
        var notes = table.legend
        notes.append("\(run), \(train.count) training and \(test.count) test images")
        if seeds.count > 1 {
            notes.append("mean ± standard deviation of \(seeds.count) seeds, one trained encoder")
        }
        if let images = train.images?.dataset, probes.contains(.reconstruction) {
            notes.append(try reconstruction.description(of: images.shape))
        }
        return "\(table)\n\n\(notes.joined(separator: "\n"))"
    }

    private func fail(_ name: String, _ probe: Probe, _ refusal: InputError) {
        table.add(failure: refusal.description, features: name, probe: probe)
        if ranks.isFirst { Program.complain("\(name), no \(probe.title): \(refusal)") }
    }

    /// An input error of collective work is the same on every rank, so all go on without it; any other ends the job.
    func attempt<Value>(_ work: () throws -> Value) throws -> Result<Value, InputError> {
        do {
            return .success(try work())
        } catch let error as InputError {
            return .failure(error)
        } catch let error as AgreedError where error.status == .badInput {
            return .failure(InputError(error.description))
        }
    }
}
