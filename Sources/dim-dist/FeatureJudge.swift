import Collectives
import Datasets
import Evaluation
import Foundation
import Tensors

/// Seeds of the probes of some features; at least one of each.
struct ProbeSeeds {
    /// Of probes that see all labels. A probe without random numbers runs once.
    let whole: [UInt64]
    /// Of probes that see few labels. Each is a draw of these, too.
    let draws: [UInt64]
}

/// Scores features of a run's samples by every requested probe, and keeps the table.
final class FeatureJudge {
    let probes: [Probe]
    /// The probes of labels also run with only so many of them.
    let labelCounts: [LabelCount]
    /// The first is the run's own.
    let seeds: ProbeSeeds
    let reconstruction: Reconstruction
    let ranks: any Ranks
    let device: Device
    /// This rank's samples of the training and the test split.
    let train, test: EvaluationSamples
    private(set) var table = EvaluationTable()
    private let record: (Score) throws -> Void
    /// nil where no probe needs labels.
    private let classes: ClassNumbers?
    /// Class numbers of this rank's rows; 0 for a row without a label.
    private let labels: (train: [Int], test: [Int])
    /// nil where no probe needs labels.
    private let labelDraws: LabelDraws?
    /// Rows of this rank with a label; nil where all ranks' rows have one, or no probe needs labels.
    private let labelled: (train: [Int], test: [Int])?

    /// Collective.
    /// - Parameter record: keeps a score of a complete row; called on rank 0.
    /// - Throws: `InputError` when the samples lack what a probe needs: labels, so many of them, a number, or a shape
    ///   that decoders make.
    init(
        probes: [Probe], labelCounts: [LabelCount], seeds: ProbeSeeds, reconstruction: Reconstruction,
        train: EvaluationSamples, test: EvaluationSamples, ranks: any Ranks, device: Device,
        record: @escaping (Score) throws -> Void
    ) throws {
        self.record = record
        self.probes = probes
        self.labelCounts = labelCounts
        self.seeds = seeds
        self.reconstruction = reconstruction
        self.ranks = ranks
        self.device = device
        self.train = train
        self.test = test
        let judged = probes.first { $0.measure == .accuracy }
        try ranks.agree {  // now, not after other probes have run
            if let probe = judged, train.labels == nil || test.labels == nil { throw Self.withoutLabels(probe, in: "") }
            for probe in probes where train.count < probe.fewestTrainingRows {
                throw InputError(
                    "--probe \(probe.rawValue) needs at least \(probe.fewestTrainingRows) training images, but there "
                        + "are \(train.count): leave it out")
            }
            if let probe = probes.first(where: \.needsPictures), train.images == nil {
                throw InputError("--probe \(probe.rawValue) needs images, but the data have none: leave it out")
            }
            if let train = train.images?.dataset, let test = test.images?.dataset, probes.contains(.reconstruction) {
                guard train.holdsBytes && test.holdsBytes else {
                    throw InputError(
                        "--probe reconstruction needs pixels from 0 to 255, but the data have others: leave it out")
                }
                try reconstruction.checkShape(train.shape)
            }
        }
        guard let judged, let trainLabels = train.labels, let testLabels = test.labels else {
            classes = nil
            labelDraws = nil
            labels = (Array(repeating: 0, count: train.own.count), Array(repeating: 0, count: test.own.count))
            labelled = nil
            return
        }
        let classes = try ClassNumbers(train: trainLabels, test: testLabels, ranks: ranks)
        let unlabelled = classes.unlabelled
        try ranks.agree {
            for (rows, without, name) in [(train, unlabelled.train, "training"), (test, unlabelled.test, "test")]
            where without == rows.count {
                throw Self.withoutLabels(judged, in: ": all \(name) labels are -1")
            }
        }
        let numbers = (train: classes.numbers(of: trainLabels), test: classes.numbers(of: testLabels))
        self.classes = classes
        labels = (numbers.train.map { $0 ?? 0 }, numbers.test.map { $0 ?? 0 })
        func rows(_ numbers: [Int?]) -> [Int] { numbers.indices.filter { numbers[$0] != nil } }
        labelled = unlabelled == (0, 0) ? nil : (rows(numbers.train), rows(numbers.test))
        let draws = try LabelDraws(
            labels: numbers.train.compactMap { $0 }, classes: classes.labels.count, ranks: ranks)
        try ranks.agree { for count in labelCounts { try draws.check(count, option: "--labels") } }
        labelDraws = draws
    }

    private static func withoutLabels(_ probe: Probe, in detail: String) -> InputError {
        InputError(
            "the data have no labels\(detail): --probe \(probe.rawValue) needs them; reconstruction, ndm and mine don't"
        )
    }

    /// Features of both splits, from this rank's rows. Collective.
    func features(_ trainValues: Tensor, _ testValues: Tensor) throws -> (train: Features, test: Features) {
        let count = classes?.labels.count ?? 1
        return (
            try Features(
                values: trainValues, labels: labels.train, classes: count,
                pictures: train.images.map { Pictures($0.dataset, normalisation: $0.normalisation) }, ranks: ranks),
            try Features(
                values: testValues, labels: labels.test, classes: count,
                pictures: test.images.map { Pictures($0.dataset, normalisation: $0.normalisation) }, ranks: ranks)
        )
    }

    /// The rows of both splits that have labels. Collective.
    private func labelled(
        _ sets: (train: Features, test: Features)
    ) throws -> (train: Features, test: Features) {
        guard let labelled else { return sets }
        return (
            try sets.train.rows(labelled.train, ranks: ranks, device: device),
            try sets.test.rows(labelled.test, ranks: ranks, device: device)
        )
    }

    /// The columns of a probe: with all labels, and with few.
    private func columns(of probe: Probe) -> [EvaluationColumn] {
        let few = probe.measure == .accuracy ? labelCounts : []
        return [EvaluationColumn(probe)] + few.map { EvaluationColumn(probe, labels: $0) }
    }

    /// Fills a row of the table, or adds values to it. Bad input makes a probe fail; its cell then says why.
    /// Collective.
    /// - Parameter make: returns the row's features; collective.
    func judge(_ name: String, seeds: ProbeSeeds, _ make: () throws -> (train: Features, test: Features)) throws {
        let outcome = try attempt {
            let sets = try make()
            return (all: sets, labelled: try labelled(sets))
        }
        device.memory.trim()  // free the memory that making them took
        switch outcome {
        case .failure(let refusal):
            for column in probes.flatMap(columns) { fail(name, column, refusal) }
        case .success(let sets):
            for column in probes.flatMap(columns) {
                let rows = column.probe.measure == .accuracy ? sets.labelled : sets.all
                let whole = column.probe.isSeeded ? seeds.whole : Array(seeds.whole.prefix(1))
                for seed in column.labels == nil ? whole : seeds.draws {
                    try add(name, column) { try find(column, train: rows.train, test: rows.test, seed: seed, $0) }
                }
            }
        }
        device.memory.trim()  // the next features have other sizes
    }

    /// A column's value by one seed, on rows with labels if its probe needs them. Collective.
    private func find(
        _ column: EvaluationColumn, train: Features, test: Features, seed: UInt64, _ progress: (String) -> Void
    ) throws -> Finding {
        var train = train
        var notes = column.probe.measure == .accuracy ? classes?.notes ?? [] : []
        if let count = column.labels, let labelDraws {
            train = try train.rows(labelDraws.ownRows(count, seed: seed), ranks: ranks, device: device)
            if let remark = labelDraws.remark(count) { notes.append(remark) }
        }
        let finding = try score(
            column.probe, train: train, test: test, seed: seed, ranks: ranks, device: device,
            reconstruction: reconstruction, progress: progress)
        return Finding(value: finding.value, notes: finding.notes + notes)
    }

    /// Adds one value to the table and prints it with its time, or prints why there is none. Collective where `find`
    /// is.
    /// - Parameter find: computes the value; it reports progress, a line at a time, to the function it is given.
    func add(
        _ name: String, _ column: EvaluationColumn, find: (_ progress: (String) -> Void) throws -> Finding
    ) throws {
        let start = ContinuousClock.now
        var shown = start
        let outcome = try attempt {
            let finding = try find { line in
                guard ranks.isFirst, shown.duration(to: .now) > .seconds(5) else { return }
                shown = .now
                Program.complain("\(name), \(line)")
            }
            guard finding.value.isFinite else { throw InputError("its value is \(finding.value), not a finite number") }
            return finding
        }
        switch outcome {
        case .failure(let refusal): fail(name, column, refusal)
        case .success(let finding):
            table.add(finding, features: name, column: column)
            guard ranks.isFirst else { return }
            let seconds = String(format: "%.1f", start.duration(to: .now) / .seconds(1))
            Program.complain("\(name), \(column.probe.text(finding.value)) \(column.title) in \(seconds) s")
        }
    }

    /// Keeps the scores of a complete row. Collective.
    func complete(_ name: String) throws {
        try ranks.agree { if ranks.isFirst { for score in table.scores(features: name) { try record(score) } } }
    }

    /// The table, with notes that explain it.
    /// - Parameter run: names the checkpoint.
    func report(of run: String) throws -> String {
        var notes = table.legend
        notes.append("\(run), \(train.count) training and \(test.count) test images")
        if let unlabelled = classes?.unlabelled, unlabelled != (0, 0) {
            notes.append(
                "\(unlabelled.train) training and \(unlabelled.test) test images have no label (-1); accuracies leave "
                    + "them out"
            )
        }
        for count in labelCounts {
            guard let labelDraws else { break }
            notes.append("@\(count): \(labelDraws.rows(count)) training images keep their labels")
        }
        if !labelCounts.isEmpty && seeds.draws.count > 1 && seeds.whole.count == 1 {
            notes.append("with @, mean ± standard deviation over \(seeds.draws.count) draws of these labels")
        }
        if seeds.whole.count > 1 {
            notes.append("mean ± standard deviation over \(seeds.whole.count) seeds; there is one trained encoder")
        }
        if let images = train.images?.dataset, probes.contains(.reconstruction) {
            notes.append(try reconstruction.description(of: images.shape))
        }
        return "\(table)\n\n\(notes.joined(separator: "\n"))"
    }

    private func fail(_ name: String, _ column: EvaluationColumn, _ refusal: InputError) {
        table.add(failure: refusal.description, features: name, column: column)
        if ranks.isFirst { Program.complain("\(name), no \(column.title): \(refusal)") }
    }

    /// The result of collective work, or its input error, which is the same on every rank, so that all continue. Any
    /// other error ends the job.
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
