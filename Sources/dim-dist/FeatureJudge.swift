import Collectives
import Data
import Evaluation
import Foundation
import Tensors

/// Judges features of a run's images by every probe asked for, and keeps the table.
struct FeatureJudge {
    let probes: [Probe]
    /// The first is the run's own.
    let seeds: [UInt64]
    let reconstruction: Reconstruction
    let ranks: any Ranks
    let device: Device
    /// This rank's images of the training and the test split.
    let train, test: ImageDataset
    private(set) var table = EvaluationTable()
    // IDX files don't say how many classes there are, and a split may lack the last.
    private let classes: Int
    private let labels: (train: [Int], test: [Int])

    /// Collective.
    /// - Throws: `InputError` when the images lack what a probe needs: labels, or a shape that decoders make.
    init(
        probes: [Probe], seeds: [UInt64], reconstruction: Reconstruction, train: ImageDataset, test: ImageDataset,
        ranks: any Ranks, device: Device
    ) throws {
        self.probes = probes
        self.seeds = seeds
        self.reconstruction = reconstruction
        self.ranks = ranks
        self.device = device
        self.train = train
        self.test = test
        classes = max(train.classes ?? 0, test.classes ?? 0, 1)
        func labels(of images: ImageDataset) throws -> [Int] {
            if let labels = images.labels { return labels.map(Int.init) }
            if let probe = probes.first(where: { $0.measure == .accuracy }) {
                throw InputError(
                    "the data have no labels: eval --probe \(probe.rawValue) needs them, reconstruction and embed don't"
                )
            }
            return Array(repeating: 0, count: images.images.count)
        }
        self.labels = try ranks.agree {
            if probes.contains(.reconstruction) {  // now, and not after the probes before it
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
                values: trainValues, labels: labels.train, classes: classes, pictures: Pictures(train), ranks: ranks),
            try Features(
                values: testValues, labels: labels.test, classes: classes, pictures: Pictures(test), ranks: ranks)
        )
    }

    /// Fills a row of the table, or adds to it. Collective.
    /// - Parameter seeds: of the probes; a probe that has no use for seeds runs once.
    mutating func judge(_ name: String, _ sets: (train: Features, test: Features), seeds: [UInt64]) throws {
        let (ranks, device, reconstruction) = (ranks, device, reconstruction)
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

    /// Adds one value to the table and says so, with its time. Collective where `value` is.
    /// - Parameter value: gets what to call with a line of progress.
    mutating func add(_ name: String, _ probe: Probe, value: (_ progress: (String) -> Void) throws -> Double) throws {
        let start = ContinuousClock.now
        var told = start
        let found = try value { line in
            guard ranks.isFirst, told.duration(to: .now) > .seconds(5) else { return }
            told = .now
            Program.complain("\(name), \(line)")
        }
        table.add(found, features: name, probe: probe)
        guard ranks.isFirst else { return }
        let seconds = String(format: "%.1f", start.duration(to: .now) / .seconds(1))
        Program.complain("\(name), \(probe.text(found)) \(probe.title) in \(seconds) s")
    }
}
