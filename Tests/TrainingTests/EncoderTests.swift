import Autodiff
import Collectives
import Datasets
import Foundation
import Layers
import Tensors
import Testing

@testable import Networks
@testable import Training

/// Shapes, sizes, names and refusals of encoders, and what settings make of them.
struct EncoderTests {
    private func map(_ height: Int, _ width: Int, _ channels: Int) -> MapShape {
        MapShape(height: height, width: width, channels: channels)
    }

    private func settings(_ layer: String) throws -> EncoderSettings {
        try Configuration(layers: [.parse(Data(("{ encoder: " + layer + " }").utf8))]).encoder
    }

    /// Maps from the published `conv_args`, by PyTorch's (w - k + 2p) / s + 1 of convolution and pool.
    @Test func mapsOfThePublishedNets() throws {
        let expected: [(EncoderKind, [MapShape], local: Int)] = [
            (.basic28x28, [map(14, 14, 64), map(7, 7, 128)], 1),
            (.basic32x32, [map(16, 16, 64), map(8, 8, 128), map(4, 4, 256)], 1),
            (.basic64x64, [map(32, 32, 64), map(16, 16, 128), map(8, 8, 256), map(4, 4, 512)], 2),
            (
                .alex64x64,
                [map(31, 31, 96), map(15, 15, 192), map(15, 15, 384), map(15, 15, 384), map(7, 7, 192)], 2
            ),
        ]
        for (kind, maps, local) in expected {
            let net = try #require(kind.published)
            #expect(try net.architecture.maps(of: map(net.side, net.side, 3)) == maps, "\(kind)")
            #expect(net.architecture.local == local)
        }
    }

    /// alex64x64 on RGB images: 3x3 kernels without bias and two numbers of batch norm a channel; then 7·7·192 inputs.
    /// PyTorch counts 58,424,352 for the published configuration, which has biases before the batch norms of 4096, too.
    @Test func parametersOfAlex() throws {
        let convolutions = 9 * (3 * 96 + 96 * 192 + 192 * 384 + 384 * 384 + 384 * 192)
        let norms = 2 * (96 + 192 + 384 + 384 + 192 + 4096 + 4096)
        let expected = convolutions + norms + 9408 * 4096 + 4096 * 4096 + 4096 * 64 + 64
        let alex = try #require(EncoderKind.alex64x64.published).architecture
        #expect(expected == 58_424_352 - 2 * 4096)
        #expect(try alex.parameterCount(of: map(64, 64, 3), code: 64, codeBias: true) == expected)
        #expect(try alex.parameterCount(of: map(64, 64, 3), code: 64, codeBias: false) == expected - 64)
    }

    /// The declared parameters are those that were counted, with the names in checkpoints. Their order decides each
    /// one's start.
    @Test func namesAndShapes() throws {
        func declared(_ layer: String, _ image: MapShape) throws -> [String: [Int]] {
            let declare = Declarations()
            let settings = try settings(layer)
            let architecture = try settings.architecture(for: image)
            _ = try ImageEncoder(
                declare, settings, image: ImageProperties(image), codeBias: true, batchNorm: .sync)
            let set = try ParameterSet(declare, device: Device(), seed: 0)
            let count = set.parameters.reduce(0) { $0 + $1.shape.reduce(1, *) }
            #expect(try architecture.parameterCount(of: image, code: settings.code, codeBias: true) == count)
            names = set.parameters.map(\.name)
            return Dictionary(uniqueKeysWithValues: set.parameters.map { ($0.name, $0.shape) })
        }
        var names: [String] = []
        let basic = try declared("{ kind: 'basic32x32', code: 10 }", map(32, 32, 3))
        #expect(
            names == [
                "conv1.weight", "norm1.weight", "norm1.bias", "conv2.weight", "norm2.weight", "norm2.bias",
                "conv3.weight", "norm3.weight", "norm3.bias", "fc.weight", "fc_norm.weight", "fc_norm.bias",
                "code.weight", "code.bias",
            ])
        #expect(basic["conv3.weight"] == [256, 128, 4, 4])
        #expect(basic["fc.weight"] == [1024, 4 * 4 * 256])

        let own = try declared(
            "{ kind: 'convolutional', blocks: [{ channels: 6 }, { channels: 5, kernel: 3, stride: 1, pool: 3 }], "
                + "local: 1, fullyConnected: [7, 8], code: 9 }", map(21, 30, 2))
        // 21x30, halved: 10x15; 3x3 with padding keeps it; pooled: 4x7
        #expect(own["conv2.weight"] == [5, 6, 3, 3])
        #expect(own["fc.weight"] == [7, 4 * 7 * 5])
        #expect(own["fc2.weight"] == [8, 7])
        #expect(own["fc2_norm.bias"] == [8])
        #expect(own["code.weight"] == [9, 8])

        let vectors = try declared("{ kind: 'fullyConnected', fullyConnected: [7, 8, 6], code: 9 }", map(1, 1, 50))
        #expect(vectors["fc.weight"] == [7, 50])
        #expect(vectors["fc3.weight"] == [6, 8])
        #expect(vectors["code.weight"] == [9, 6])
    }

    /// Published nets where there is one; else a last map of 4 to 7 on its longer side, and a local one of 7 to 15.
    @Test func automaticFitsAnything() throws {
        let automatic = EncoderSettings()
        for (side, kind) in [(28, EncoderKind.basic28x28), (32, .basic32x32), (64, .basic64x64)] {
            #expect(try automatic.resolved(for: map(side, side, 3)).kind == kind)
            guard side != 28 else { continue }
            #expect(EncoderArchitecture(fitting: map(side, side, 3)) == kind.published?.architecture)
        }
        for (height, width) in [(1, 2), (7, 7), (8, 8), (1, 500), (3, 100), (28, 29), (96, 96), (224, 160), (65, 64)] {
            let image = map(height, width, 5)
            let found = try automatic.resolved(for: image)
            let architecture = try automatic.architecture(for: image)
            #expect(found.kind == .convolutional)
            #expect(try found.architecture(for: image) == architecture)
            let maps = try architecture.maps(of: image)
            let longer = maps.map { max($0.height, $0.width) }
            #expect((min(4, max(height, width))...7).contains(longer[longer.count - 1]), "\(image): \(maps)")
            let isLarge = max(height, width) >= 14
            #expect(!isLarge || (7...15).contains(longer[architecture.local]), "\(image): \(maps)")
        }
        let vectors = try automatic.resolved(for: map(1, 1, 300))
        #expect(vectors.kind == .fullyConnected && vectors.fullyConnected == [1024, 1024])
    }

    /// Missing settings of a block have their defaults, and the tree of the settings can be read back.
    @Test func blocksAreCompletedAndReadBack() throws {
        let found = try settings("{ kind: 'convolutional', blocks: [{ channels: 4, pool: 3 }, { channels: 5 }] }")
        #expect(found.blocks[0] == EncoderBlock(4, kernel: 4, stride: 2, padding: 1, pool: 3))
        var whole = Configuration()
        whole.encoder = try found.resolved(for: map(40, 20, 1))
        #expect(whole.encoder.fullyConnected == [1024])
        #expect(try Configuration(layers: [whole.tree()]) == whole)
        // A run goes on with what was found, whether one says automatic or the same again; and with nothing else.
        #expect(try Configuration().resuming(whole) == whole)
        var other = whole
        other.encoder.blocks[1].channels = 6
        expectInputError("encoder.blocks differs") { try other.resuming(whole) }
    }

    /// A run on images that no published net is for says in `config.json` what was built, and goes on from there.
    @Test func aRunKeepsItsEncoder() throws {
        let folder = try TemporaryFolder()
        var bytes: [UInt8] = [0, 0, 8, 3, 0, 0, 0, 96, 0, 0, 0, 9, 0, 0, 0, 12]
        for i in 0..<96 * 9 * 12 { bytes.append(UInt8(i * i % 251)) }
        try Data(bytes).write(to: URL(fileURLWithPath: folder.path + "/images"))
        let output = folder.path + "/run"
        let asked = try makeConfiguration(
            data: folder.path + "/images", steps: 1, ["encoder.kind": .string("automatic")])
        _ = try train(asked, output: output, worldSize: 1)

        let saved = try Configuration(layers: [.parse(Data(folder.read("run/config.json").utf8))])
        #expect(try saved.encoder == asked.encoder.resolved(for: map(9, 12, 1)))
        #expect(saved.encoder.kind == .convolutional && !saved.encoder.blocks.isEmpty)
        var further = asked
        further.steps = 2
        let resumed = try train(further.resuming(saved), output: output, worldSize: 2, resume: true)
        #expect(resumed.allSatisfy { $0.outcome == .finished })
        #expect(try metrics(of: output).map(\.step) == [1, 2])
    }

    /// Settings of before there were blocks.
    @Test func olderSettingsAreRead() throws {
        let old = try settings("{ code: 64, kind: 'basic28x28' }")
        #expect(old.blocks.isEmpty && old.kind == .basic28x28)
        #expect(try old.resolved(for: map(28, 28, 1)) == old)
    }

    @Test(arguments: [
        ("{ blocks: [{ channels: 4, kernal: 3 }] }", "unknown setting encoder.blocks[0].kernal: did you mean"),
        ("{ blocks: [{ channels: 4 }, 5] }", "setting encoder.blocks[1] must be an object"),
        ("{ blocks: [{ channels: '4' }] }", "encoder.blocks[0].channels is \"4\": it must be a whole number"),
        ("{ blocks: [{ channels: 4 }, {}] }", "encoder.blocks[1].channels is 0: it must be 1 to 65536"),
        ("{ blocks: [{ channels: 4, kernel: 0 }] }", "encoder.blocks[0].kernel is 0: it must be 1 to 64"),
        ("{ blocks: [{ channels: 4, stride: 0 }] }", "encoder.blocks[0].stride is 0: it must be 1 to 64"),
        ("{ blocks: [{ channels: 4, padding: 4 }] }", "encoder.blocks[0].padding is 4: it must be 0 to 3"),
        ("{ blocks: [{ channels: 4, pool: -1 }] }", "encoder.blocks[0].pool is -1: it must be 0 to 64"),
        ("{ blocks: [{ channels: 4, poolStride: 0 }] }", "encoder.blocks[0].poolStride is 0: it must be 1 to 64"),
        ("{ blocks: [{ channels: 4 }], local: 1 }", "encoder.local is 1: it must be 0 to 0"),
        ("{ fullyConnected: [8, 0] }", "encoder.fullyConnected[1] is 0: it must be 1 to 65536"),
        ("{ code: -1 }", "encoder.code is -1: it must be 0 to 65536"),
        ("{ residual: { depth: 19 } }", "encoder.residual.depth is 19: it must be 0, 18, 34 or 50"),
        ("{ residual: { depth: 0 } }", "encoder.residual.blocks is empty"),
        ("{ residual: { blocks: [1] } }", "encoder.residual.blocks is set, but encoder.residual.depth is 18"),
        ("{ residual: { bottleneck: true } }", "encoder.residual.bottleneck is set"),
        ("{ residual: { depth: 0, blocks: [1, 0] } }", "encoder.residual.blocks[1] is 0: it must be 1 to 64"),
        ("{ residual: { width: 0 } }", "encoder.residual.width is 0: it must be 1 to 4096"),
        ("{ residual: { local: 5 } }", "encoder.residual.local is 5: it must be 0 to 4, a stage"),
        (
            "{ residual: { stem: 'small' } }",
            "encoder.residual.stem is \"small\": it must be one of automatic, imageNet"
        ),
        ("{ fast: { widths: [] } }", "encoder.fast.widths is a list of 0: it must be 1 to 8 groups"),
        ("{ fast: { widths: [8, 0] } }", "encoder.fast.widths[1] is 0: it must be 1 to 16384"),
        ("{ fast: { convolutions: 0 } }", "encoder.fast.convolutions is 0: it must be 1 to 16"),
        ("{ fast: { local: 4 } }", "encoder.fast.local is 4: it must be 0 to 3, a group"),
        ("{ fullyConnected: [8.5] }", "encoder.fullyConnected is [8.5]: it must be a list of whole numbers"),
    ])
    func settingsOutOfRangeAreRefused(_ layer: String, _ text: String) {
        expectInputError(text) { try settings(layer) }
    }

    @Test(arguments: [
        ("{ kind: 'convolutional' }", "encoder.blocks is empty"),
        ("{ blocks: [{ channels: 4 }] }", "encoder.blocks is set, but encoder.kind is automatic"),
        ("{ kind: 'alex64x64', fullyConnected: [4] }", "encoder.fullyConnected is set"),
        ("{ kind: 'fullyConnected', local: 2 }", "encoder.local is set, but encoder.kind is fullyConnected"),
        ("{ residual: { width: 8 } }", "encoder.residual is set, but encoder.kind is automatic"),
        (
            "{ kind: 'residual', local: 2 }",
            "encoder.local is set, but encoder.kind is residual: set encoder.residual.local"
        ),
        ("{ kind: 'residual', fast: { convolutions: 1 } }", "encoder.fast is set, but encoder.kind is residual"),
        ("{ kind: 'fast', fullyConnected: [4] }", "encoder.fullyConnected is set, but encoder.kind is fast"),
        ("{ kind: 'fast' }", "encoder.fast.whitening is true, but the covariance"),
        (
            "{ kind: 'residual', residual: { width: 4096 } }",
            "encoder.residual.width is 4096: with stages of [2, 2, 2, 2] blocks the encoder would have about 457"
        ),
        ("{ kind: 'basic64x64' }", "encoder.kind is basic64x64, but images are 9x20: use automatic"),
        (
            "{ kind: 'convolutional', blocks: [{ channels: 4 }, { channels: 4, kernel: 7 }] }",
            "encoder.blocks[1]: its window of 7x7 is larger than its map of 4x10, 6x12 with padding"
        ),
        (
            "{ kind: 'convolutional', blocks: [{ channels: 4, pool: 5 }] }",
            "encoder.blocks[0]: its window of 5x5 is larger than its map of 4x10:"
        ),
        (
            "{ kind: 'convolutional', blocks: [{ channels: 65536, stride: 1 }], fullyConnected: [65536] }",
            "more than 1073741824: the input of its first fully connected layer is 8x19x65536"
        ),
        (
            "{ kind: 'fullyConnected', fullyConnected: [65536, 65536] }",
            "parameters, more than 1073741824"
        ),
    ])
    func encodersThatDontFitAreRefused(_ layer: String, _ text: String) {
        let card = ViewCard(
            height: 9, width: 20, channels: 3, normalisation: .init(mean: [0, 0, 0], deviation: [1, 1, 1]))
        expectInputError(text) {
            var configuration = Configuration()
            configuration.encoder = try settings(layer)
            _ = try Model(configuration, card: card, device: Device())
        }
    }

    /// Vectors are no images.
    @Test(arguments: ["residual", "fast"]) func vectorsAreRefused(kind: String) {
        expectInputError("encoder.kind is \(kind), but images are 1x1: it needs at least 2x2") {
            _ = try settings("{ kind: '\(kind)' }").resolved(for: map(1, 1, 50))
        }
    }

    /// Stem and local map by the size of the images; a run that goes on keeps what was found.
    @Test func automaticPartsOfResidualAndFast() throws {
        let residual = try settings("{ kind: 'residual' }")
        for (side, stem, local) in [
            (32, ResidualStem.cifar, 3), (64, .cifar, 4), (65, .imageNet, 2), (224, .imageNet, 4),
        ] {
            let found = try residual.resolved(for: map(side, side / 2, 3))
            #expect(found.residual.stem == stem && found.residual.local == local, "\(side): \(found.residual)")
            #expect(residual.adopting(found) == found)
            #expect(try found.resolved(for: map(side, side / 2, 3)) == found)
        }
        let fast = try settings("{ kind: 'fast' }")
        for (side, local) in [(32, 2), (16, 1), (64, 3), (8, 1)] {
            let found = try fast.resolved(for: map(side, side, 3))
            #expect(found.fast.local == local, "\(side)")
            #expect(fast.adopting(found) == found)
        }
    }

    /// Without a code, the layer before it is the code; stages are the pooled blocks side by side.
    @Test func noCode() throws {
        let layer =
            "{ kind: 'convolutional', blocks: [{ channels: 6 }, { channels: 5 }], fullyConnected: [7], code: 0 }"
        let declare = Declarations()
        let encoder = try ImageEncoder(
            declare, settings(layer), image: ImageProperties(map(12, 9, 2)), codeBias: true, batchNorm: .sync)
        let device = try Device()
        let set = ParameterSet(declare, device: device, seed: 3)
        #expect(encoder.codeSize == 7 && !encoder.takesAnySize)
        #expect(!set.parameters.contains { $0.name.hasPrefix("code") })
        let tape = Tape(device: device, ranks: SingleRank(), shares: Shares(counts: [3], rank: 0))
        let pixels = device.tensor([3, 12, 9, 2], (0..<3 * 12 * 9 * 2).map { sin(Float($0)) })
        let found = try encoder(tape, tape.constant(pixels))
        #expect(found.code.value.array == found.output(.fc, on: tape).value.array)
        let stages = found.output(.stages, on: tape).value
        #expect(stages.shape == [3, 11])
        let last = found.output(.conv, on: tape).value
        for image in 0..<3 {
            for c in 0..<5 {
                let pixels = last.shape[1] * last.shape[2]
                let mean =
                    (0..<pixels).reduce(Float(0)) { $0 + last.base[(image * pixels + $1) * 5 + c] } / Float(pixels)
                #expect(abs(stages.base[image * 11 + 6 + c] - mean) < 1e-6)
            }
        }
    }

    /// Shapes of what comes out, and where an encoder has no convolution; no image at all is a batch too.
    @Test(arguments: [0, 3]) func encodings(images: Int) throws {
        let cases: [(String, local: [Int], conv: [Int], fc: [Int])] = [
            (
                "{ kind: 'convolutional', blocks: [{ channels: 6 }, { channels: 5, kernel: 3, stride: 1, pool: 3 }], "
                    + "fullyConnected: [7, 8], code: 9 }", [10, 15, 6], [4, 7, 5], [8]
            ),
            ("{ kind: 'fullyConnected', fullyConnected: [7, 8], code: 9 }", [1, 1, 7], [1, 1, 7], [8]),
            ("{ kind: 'fullyConnected', fullyConnected: [7], code: 9 }", [1, 1, 7], [1, 1, 7], [7]),
        ]
        let image = map(21, 30, 2)
        for (layer, local, conv, fc) in cases {
            let declare = Declarations()
            let device = try Device()
            let encoder = try ImageEncoder(
                declare, settings(layer), image: ImageProperties(image), codeBias: true, batchNorm: .sync)
            let set = ParameterSet(declare, device: device, seed: 3)
            let tape = Tape(device: device, ranks: SingleRank(), shares: Shares(counts: [images], rank: 0))
            var stream = RandomStream(seed: 3, purpose: .synthetic)
            let pixels = device.tensor([images, 21, 30, 2])
            for i in 0..<pixels.count { pixels.base[i] = stream.uniform() }
            let found = try encoder(tape, tape.constant(pixels))
            #expect(found.local.shape == [images] + local)
            #expect(Array(found.local.shape.dropFirst().dropLast()).reduce(1, *) == encoder.locations)
            #expect(found.local.shape.last == encoder.localChannels)
            #expect(found.output(.conv, on: tape).shape == [images] + conv)
            #expect(found.output(.fc, on: tape).shape == [images] + fc)
            #expect(found.code.shape == [images, 9])
            // An objective that sees the code alone moves every parameter.
            guard images > 0 else { continue }
            let loss = tape.crossEntropy(found.code, labels: [0, 4, 8])
            try tape.backward(from: loss)
            for parameter in set.parameters {
                #expect(parameter.gradient.array.contains { $0 != 0 }, "\(parameter.name) of \(layer)")
            }
        }
    }
}
