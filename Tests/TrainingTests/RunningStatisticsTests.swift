import Autodiff
import Collectives
import Datasets
import Tensors
import Testing

@testable import Training

/// Running statistics of batch norms at a checkpoint are those of images as they are.
@Suite struct RunningStatisticsTests {
    private let folder: TemporaryFolder
    private let images: String

    init() throws {
        folder = try TemporaryFolder()
        images = try writeImages(to: folder)
    }

    /// One batch of all images gives their statistics, whatever they were before.
    @Test func theyAreThoseOfImagesAsTheyAre() throws {
        let configuration = try makeConfiguration(
            data: images, steps: 1, ["batch": .integer(96), "data.augmentation.flip": .boolean(true)])
        let device = try Device()
        func source(_ changed: Augmentation) throws -> ViewSource {
            try ViewSource(configuration.data, ViewRecipe([changed]), batch: 96, seed: 0, ranks: SingleRank())
        }
        let data = try source(Augmentation(padCrop: 6, flip: true))
        let model = try Model(configuration, card: data.card, device: device)
        let start = model.store.states.map(\.values)
        for state in model.store.states { state.values = state.values.map { $0 + 7 } }
        try model.estimateStatistics(on: data, ranks: SingleRank())
        let encoder = model.store.states.filter { $0.name.hasPrefix("encoder.") }
        #expect(!encoder.isEmpty)
        for (state, before) in zip(model.store.states, start) where state.name.hasPrefix("encoder.") {
            #expect(zip(state.values, before).allSatisfy { abs($0 - $1 - 7) > 0.01 }, "\(state.name)")
        }
        // Images of mean 0 and variance 1 keep that through the first convolution's own mean.
        let plain = try #require(data.plainBatch(0, device: device))
        let mean = plain.images.elements.reduce(0.0) { $0 + Double($1) } / Double(plain.images.count)
        #expect(abs(mean) < 1e-4)
        // Where no view is augmented, nothing changes.
        let before = model.store.states.map(\.values)
        try model.estimateStatistics(on: source(Augmentation()), ranks: SingleRank())
        #expect(model.store.states.map(\.values) == before)
    }

    /// Statistics of one batch each, their mean, and what a run leaves in its checkpoint.
    @Test func theyAreTheMeanOverBatches() throws {
        let configuration = try makeConfiguration(
            data: images, steps: 1,
            ["batch": .integer(48), "data.augmentation.padCrop": .integer(6), "optimiser.rate": .number(1e-12)])
        let device = try Device()
        let data = try ViewSource(
            configuration.data, ViewRecipe([configuration.data.augmentation]), batch: 48, seed: 0, ranks: SingleRank())
        let model = try Model(configuration, card: data.card, device: device)
        func encoderStates(_ model: Model) -> [Float] {
            model.store.states.filter { $0.name.hasPrefix("encoder.") }.flatMap(\.values)
        }
        let single = try (0..<2).map { index in
            let batch = try #require(data.plainBatch(index, device: device))
            var options = Tape.Options()
            options.statisticsWeight = 1
            let tape = Tape(device: device, ranks: SingleRank(), shares: batch.shares, options: options)
            _ = try model.method.features(tape, batch, [.code])
            tape.settle()
            return encoderStates(model)
        }
        #expect(relativeDistance(single[0], single[1]) > 1e-3)
        let mean = zip(single[0], single[1]).map { ($0 + $1) / 2 }
        try model.estimateStatistics(on: data, ranks: SingleRank())
        #expect(relativeDistance(encoderStates(model), mean) < 1e-5)

        let run = try TrainingRun(
            configuration, output: folder.path + "/run", resume: false, device: device, ranks: SingleRank())
        _ = try run.train(stop: StopRequest(signals: []), isTerminal: false)
        #expect(relativeDistance(encoderStates(run.model), mean) < 1e-4)
    }
}
