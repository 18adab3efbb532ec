import Autodiff
import Collectives
import Datasets
import Foundation
import Layers
import Tensors
import Testing

@testable import Networks

struct FastNetworkTests {
    private let device: Device

    init() throws { device = try Device() }

    /// A symmetric matrix with these eigenvalues: a Householder reflection I - 2vvᵀ/|v|² of their diagonal.
    private func matrix(_ eigenvalues: [Double]) -> [Float] {
        let size = eigenvalues.count
        let v = (0..<size).map { sin(Double($0) + 1) }
        let square = v.reduce(0) { $0 + $1 * $1 }
        func reflection(_ i: Int, _ j: Int) -> Double { (i == j ? 1 : 0) - 2 * v[i] * v[j] / square }
        return (0..<size * size).map { index in
            let (i, j) = (index / size, index % size)
            return Float((0..<size).reduce(0.0) { $0 + reflection(i, $1) * eigenvalues[$1] * reflection($1, j) })
        }
    }

    /// F·Σ·Fᵀ is diagonal, with λ/(λ + 5e-4) on it, and the second half of the filters is the negative of the first.
    @Test func filtersWhiten() throws {
        let eigenvalues = (0..<12).map { exp(2 - 0.8 * Double($0)) }
        let covariance = matrix(eigenvalues)
        let filters = try whiteningFilters(covariance: covariance, size: 12)
        #expect(filters.count == 24 * 12)
        #expect(Array(filters[144...]) == filters[..<144].map { -$0 })
        for i in 0..<12 {
            for j in 0..<12 {
                var product = 0.0
                for a in 0..<12 {
                    for b in 0..<12 {
                        product +=
                            Double(filters[i * 12 + a]) * Double(covariance[a * 12 + b]) * Double(filters[j * 12 + b])
                    }
                }
                let expected = i == j ? eigenvalues[i] / (eigenvalues[i] + 5e-4) : 0
                #expect(abs(product - expected) < 2e-3, "\(i) \(j): \(product), \(expected)")
            }
        }
    }

    /// The values of whole networks, their gradients and running statistics, against PyTorch in float64.
    @Test func agreesWithPyTorch() throws {
        struct Case: Decodable {
            let widths: [Int], convolutions: Int, pooling: MapPooling, layer: String, size: [Int]
        }
        let cases = try NetworkFixture.cases(Case.self, in: "fast.json")
        let numbers = try NetworkFixture.cases(NetworkFixture.self, in: "fast.json")
        #expect(cases.count == 4)
        for (item, numbers) in zip(cases, numbers) {
            let settings = settings {
                ($0.widths, $0.convolutions, $0.pooling) = (item.widths, item.convolutions, item.pooling)
            }
            let layer = try #require(EncoderLayer(rawValue: item.layer))
            try numbers.check(layer, images: [5] + item.size + [2], "\(item.widths) \(item.size)") { declare in
                try ImageEncoder(
                    declare, settings, image: properties(item.size[0], item.size[1], channels: 2), codeBias: false,
                    batchNorm: .sync)
            }
        }
    }

    private func settings(_ change: (inout FastSettings) -> Void = { _ in }) -> EncoderSettings {
        var settings = EncoderSettings(code: 0)
        settings.kind = .fast
        settings.fast.widths = [6, 10, 8]
        change(&settings.fast)
        return settings
    }

    private func properties(_ height: Int, _ width: Int, channels: Int = 3) -> ImageProperties {
        let size = 4 * channels
        let identity = (0..<size * size).map { $0 % (size + 1) == 0 ? Float(1) : 0 }
        return ImageProperties(
            MapShape(height: height, width: width, channels: channels), patchCovariance: identity)
    }

    private func images(_ count: Int, _ height: Int, _ width: Int, channels: Int = 3) -> Tensor {
        var stream = RandomStream(seed: 4, purpose: .synthetic)
        return device.tensor(
            [count, height, width, channels], (0..<count * height * width * channels).map { _ in stream.normal() })
    }

    /// One network takes images of any size: maps of 31, 15, 7, 3; of 23, 11, 5, 2; of 15, 7, 3, 1; a map of 1 isn't
    /// pooled.
    @Test func imagesOfAnySizePass() throws {
        let declare = Declarations()
        let encoder = try ImageEncoder(
            declare, settings(), image: properties(32, 32), codeBias: false, batchNorm: .sync)
        _ = ParameterSet(declare, device: device, seed: 1)
        #expect(encoder.takesAnySize)
        #expect(encoder.localMap == MapShape(height: 7, width: 7, channels: 10))
        #expect(encoder.codeSize == 16)
        for (height, width, local, last) in [
            (32, 32, [7, 7, 10], [3, 3, 8]), (24, 20, [5, 4, 10], [2, 2, 8]), (16, 16, [3, 3, 10], [1, 1, 8]),
            (6, 6, [1, 1, 10], [1, 1, 8]), (2, 2, [1, 1, 10], [1, 1, 8]),
        ] {
            let tape = Tape(device: device, ranks: SingleRank(), shares: Shares(counts: [3], rank: 0))
            let encoding = try encoder(tape, tape.constant(images(3, height, width)))
            #expect(encoding.local.shape == [3] + local)
            #expect(encoding.output(.conv, on: tape).shape == [3] + last)
            #expect(encoding.code.shape == [3, 16])
            #expect(encoding.output(.stages, on: tape).shape == [3, 2 * 24])
        }
    }

    /// At the start, a convolution passes its inputs.
    @Test func identityFiltersPassChannels() throws {
        let declare = Declarations()
        let layer = Conv2D(declare, "conv", inputs: 5, outputs: 7, kernel: 3, stride: 1, padding: 1, start: .identity)
        let wide = Conv2D(declare, "wide", inputs: 4, outputs: 3, kernel: 3, stride: 1, padding: 1, start: .identity)
        let set = ParameterSet(declare, device: device, seed: 1)
        let tape = Tape(device: device, ranks: SingleRank(), shares: Shares(counts: [2], rank: 0))
        let x = images(2, 4, 6, channels: 5)
        let y = try layer(tape, tape.constant(x)).value
        for row in 0..<2 * 4 * 6 {
            for c in 0..<5 { #expect(abs(y.matrix.row(row)[c] - x.matrix.row(row)[c]) < 1e-6) }
        }
        let rest = set.parameters[0].value.array[5 * 45..<7 * 45]
        let bound = 1 / Float(45).squareRoot()
        #expect(rest.allSatisfy { abs($0) <= bound && $0 != 0 })
        let narrow = images(1, 3, 3, channels: 4)
        let passed = try wide(tape, tape.constant(narrow)).value
        for row in 0..<9 {
            for c in 0..<3 { #expect(abs(passed.matrix.row(row)[c] - narrow.matrix.row(row)[c]) < 1e-6) }
        }
    }

    /// The whitening layer is no parameter, has no gradient, and is in checkpoints under its name and shape.
    @Test func whiteningNeverMoves() throws {
        for whitening in [true, false] {
            let declare = Declarations()
            let settings = settings { $0.whitening = whitening }
            let encoder = try ImageEncoder(
                declare, settings, image: properties(16, 16), codeBias: false, batchNorm: .sync)
            let set = ParameterSet(declare, device: device, seed: 1)
            let state = set.states.first { $0.name == "whitening.weight" }
            #expect((state != nil) == whitening)
            #expect(set.parameters.contains { $0.name == "whitening.weight" } != whitening)
            #expect(state?.shape ?? [24, 3, 2, 2] == [24, 3, 2, 2])
            let tape = Tape(device: device, ranks: SingleRank(), shares: Shares(counts: [3], rank: 0))
            let y = try encoder(tape, tape.constant(images(3, 16, 16))).code
            try tape.backward(from: [(y, images(3, 1, 16, channels: 1).reshaped([3, 16]))])
            for parameter in set.parameters {
                #expect(parameter.gradient.array.contains { $0 != 0 }, "\(parameter.name)")
            }
        }
    }

    /// A network that follows another starts from its filters too, which never move.
    @Test func aFollowerHasTheFilters() throws {
        let declare = Declarations()
        func network(_ declare: Declarations) throws -> ImageEncoder {
            try ImageEncoder(declare, settings(), image: properties(16, 16), codeBias: false, batchNorm: .sync)
        }
        let (leader, _) = try declare.group("model", .descends(OptimiserSettings()), network)
        let (follower, _) = try declare.group("target", .follows(leader, Momentum())) {
            try network($0.within("target"))
        }
        let store = ParameterStore(declare, device: device, seed: 1)
        let filters = try #require(store.states.first { $0.name == "whitening.weight" })
        filters.values = filters.values.map { $0 + 1 }  // as of a run on other data
        follower.followFromStart()
        #expect(store.states.first { $0.name == "target.whitening.weight" }?.values == filters.values)
    }

    /// Without the covariance, whitening is refused; a run of other data has none.
    @Test func whiteningNeedsTheCovariance() throws {
        let unknown = ImageProperties(MapShape(height: 16, width: 16, channels: 3))
        expectInputError("encoder.fast.whitening is true, but the covariance of patches") {
            _ = try ImageEncoder(Declarations(), settings(), image: unknown, codeBias: false, batchNorm: .sync)
        }
        let plain = settings { $0.whitening = false }
        _ = try ImageEncoder(Declarations(), plain, image: unknown, codeBias: false, batchNorm: .sync)
    }
}
