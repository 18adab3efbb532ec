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
        func estimated() throws -> [Float] {
            try model.estimateStatistics(on: data, ranks: SingleRank())
            return model.store.states.filter { $0.name.hasPrefix("encoder.") }.flatMap(\.values)
        }
        let fresh = try estimated()
        for state in model.store.states { state.values = state.values.map { $0 + 7 } }
        #expect(relativeDistance(try estimated(), fresh) < 1e-5)
        // Those of the first convolution over images as they are, by hand.
        let plain = try #require(data.plainBatch(0, device: device))
        let tape = Tape(device: device, ranks: SingleRank(), shares: plain.shares, mode: .evaluation)
        let weight = try #require(model.store.parameters.first { $0.name == "encoder.conv1.weight" })
        let map = try tape.convolution(
            tape.constant(plain.images), weight: tape.constant(weight.value), stride: 2, padding: 1)
        let (rows, channels) = (Double(map.value.matrix.rows), map.shape[3])
        let moments = map.value.matrix.channelMoments().map { $0 / rows }
        func state(_ name: String) throws -> [Float] {
            try #require(model.store.states.first { $0.name == "encoder.norm1.\(name)" }).values
        }
        let (means, variances) = (try state("running_mean"), try state("running_var"))
        for c in 0..<channels {
            let variance = (moments[channels + c] - moments[c] * moments[c]) * rows / (rows - 1)
            #expect(abs(Double(variances[c]) / variance - 1) < 1e-4)
            #expect(abs(Double(means[c]) - moments[c]) < 1e-4 * variance.squareRoot())
        }
        // Where no view is augmented, nothing changes.
        let before = model.store.states.map(\.values)
        try model.estimateStatistics(on: source(Augmentation()), ranks: SingleRank())
        #expect(model.store.states.map(\.values) == before)
    }

    /// Of a model that wasn't trained, over the training split: all of it in one batch, and the same on any number of ranks.
    @Test func theyAreEstimatedWithoutTraining() throws {
        let configuration = try makeConfiguration(
            data: images, steps: 1, ["batch": .integer(96), "data.augmentation.padCrop": .integer(6)])
        let recipe = ViewRecipe([configuration.data.augmentation])
        let whole = try ViewSource(configuration.data, recipe, batch: 96, seed: 0, ranks: SingleRank())
        let card = whole.card
        @Sendable func states(_ ranks: any Ranks, batch: Int, _ recipe: ViewRecipe) throws -> [Float] {
            let model = try Model(configuration, card: card, device: Device())
            let rows = try ViewSource.rows(
                configuration.data, recipe, split: nil, isLabelled: false, patches: nil, card: card,
                ranks: ranks)
            try model.estimateStatistics(on: rows, batch: batch, ranks: ranks)
            return model.store.states.filter { $0.name.hasPrefix("encoder.") }.flatMap(\.values)
        }
        let trained = try Model(configuration, card: whole.card, device: Device())
        try trained.estimateStatistics(on: whole, ranks: SingleRank())
        let expected = trained.store.states.filter { $0.name.hasPrefix("encoder.") }.flatMap(\.values)
        #expect(relativeDistance(try states(SingleRank(), batch: 96, recipe), expected) < 1e-5)
        let inBatches = try states(SingleRank(), batch: 36, recipe)
        #expect(relativeDistance(inBatches, expected) > 1e-4)
        for worldSize in 2...3 {
            try ThreadRank.run(worldSize) { ranks in
                let found = try states(ranks, batch: 36, recipe)
                #expect(relativeDistance(found, inBatches) < 1e-5)
            }
        }
        let untouched = try states(SingleRank(), batch: 96, ViewRecipe([Augmentation()]))
        #expect(Set(untouched) == [0, 1])
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
