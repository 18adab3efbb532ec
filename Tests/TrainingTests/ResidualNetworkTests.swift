import Layers
import Networks
import Testing

/// Residual networks against torchvision's, in float64. `Fixtures/residual.py` made the numbers.
struct ResidualNetworkTests {
    private struct Case: Decodable {
        let bottleneck: Bool, stem: ResidualStem, blocks: [Int]
    }

    @Test func agreesWithTorchvision() throws {
        let cases = try NetworkFixture.cases(Case.self, in: "residual.json")
        let numbers = try NetworkFixture.cases(NetworkFixture.self, in: "residual.json")
        #expect(cases.count == 4)
        let image = MapShape(height: 12, width: 17, channels: 3)
        for (item, numbers) in zip(cases, numbers) {
            var settings = EncoderSettings(code: 0)
            settings.kind = .residual
            settings.residual.depth = 0
            (settings.residual.blocks, settings.residual.bottleneck) = (item.blocks, item.bottleneck)
            (settings.residual.width, settings.residual.stem) = (4, item.stem)
            let label = "\(item.bottleneck ? "bottleneck" : "basic") \(item.stem)"
            try numbers.check(.code, images: [5, 12, 17, 3], label) { [settings] declare in
                try ImageEncoder(
                    declare, settings, image: ImageProperties(image), codeBias: false, batchNorm: .sync)
            }
        }
    }

    /// Parameters of torchvision's `resnet18`, `resnet34` and `resnet50` without `fc`, as it counts them.
    @Test(arguments: [(18, 11_176_512), (34, 21_284_672), (50, 23_508_032)])
    func publishedNetworksHaveTheirParameters(depth: Int, count: Int) throws {
        var settings = EncoderSettings(code: 0)
        settings.kind = .residual
        settings.residual.depth = depth
        let declare = Declarations()
        let image = ImageProperties(MapShape(height: 224, width: 224, channels: 3))
        let encoder = try ImageEncoder(declare, settings, image: image, codeBias: false, batchNorm: .sync)
        #expect(declare.parameterCount == count)
        #expect(encoder.codeSize == (depth == 50 ? 2048 : 512))
        #expect("\(encoder)".hasPrefix("ResNet-\(depth) of width 64, imageNet stem, local map 7x7x"))
    }

    /// A network that is too large is refused before anything is allocated.
    @Test func tooManyParameters() throws {
        var settings = EncoderSettings(code: 0)
        settings.kind = .residual
        (settings.residual.depth, settings.residual.width) = (50, 500)
        let image = ImageProperties(MapShape(height: 224, width: 224, channels: 3))
        let declare = Declarations()
        expectInputError("encoder.residual.width is 500: with stages of [3, 4, 6, 3] blocks") {
            _ = try ImageEncoder(declare, settings, image: image, codeBias: false, batchNorm: .sync)
        }
        #expect(declare.parameterCount == 0)
        // More than half of the limit, in a group as methods make it.
        settings.residual.width = 310
        let (_, encoder) = try declare.group("model", .descends(OptimiserSettings())) {
            try ImageEncoder($0, settings, image: image, codeBias: false, batchNorm: .sync)
        }
        #expect(declare.parameterCount > 1 << 29 && encoder.codeSize == 310 * 32)
    }
}
