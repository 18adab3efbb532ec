import Autodiff
import Layers

/// A residual network (He et al. 2016) without its classifier: a stem, stages of residual blocks, and the mean over the
/// last map. Its arrays have the names, shapes and meaning of torchvision's `ResNet`: `conv1`, `bn1`, `layer1.0.conv1`,
/// …, `layer2.0.downsample.0`, ….
struct ResidualNetwork: Backbone {
    private let settings: ResidualSettings
    private let stem: (convolution: Conv2D, norm: BatchNorm)
    private let stages: [[ResidualBlock]]
    let localMap: MapShape
    let takesAnySize = true

    var width: Int { settings.channels(ofStage: stages.count - 1) }

    /// - Parameters:
    ///   - settings: resolved ones.
    init(_ declare: Declarations, _ settings: ResidualSettings, image: MapShape, batchNorm: BatchNormScope) {
        self.settings = settings
        localMap = settings.maps(of: image)[settings.local - 1]
        let isLarge = settings.stem == .imageNet
        stem = (
            Conv2D(
                declare, "conv1", inputs: image.channels, outputs: settings.width, kernel: isLarge ? 7 : 3,
                stride: isLarge ? 2 : 1, padding: isLarge ? 3 : 1, start: .normal),
            BatchNorm(declare, "bn1", channels: settings.width, rectified: true, scope: batchNorm)
        )
        var inputs = settings.width
        stages = settings.stageBlocks.enumerated().map { stage, count in
            let outputs = settings.channels(ofStage: stage)
            return (0..<count).map { index in
                defer { inputs = outputs }
                return ResidualBlock(
                    declare.within("layer\(stage + 1)").within("\(index)"), inputs: inputs,
                    channels: settings.width << stage, outputs: outputs, stride: stage > 0 && index == 0 ? 2 : 1,
                    hasBottleneck: settings.hasBottlenecks, batchNorm: batchNorm)
            }
        }
    }

    func callAsFunction(_ tape: Tape, _ images: Variable) throws -> BackboneOutputs {
        var x = try stem.norm(tape, stem.convolution(tape, images))
        if settings.stem == .imageNet {
            x = tape.piece("\(stem.convolution.weight.layer) pool") {
                tape.maxPool(x, window: 3, stride: 2, padding: 1)
            }
        }
        let maps = try stages.map { blocks in
            x = try blocks.reduce(x) { x, block in try block(tape, x) }
            return x
        }
        return BackboneOutputs(stages: maps, local: settings.local - 1, features: tape.globalMean(x))
    }

    /// `ResNet-18 of width 64, cifar stem`
    var description: String {
        let name =
            settings.depth > 0
            ? "ResNet-\(settings.depth)"
            : "residual network of \(settings.blocks.map(String.init).joined(separator: "-")) "
                + (settings.bottleneck ? "bottleneck blocks" : "blocks")
        return "\(name) of width \(settings.width), \(settings.stem.rawValue) stem"
    }
}

/// A residual block: max(F(x) + x, 0), with F of two 3x3 convolutions, or of three, 1x1, 3x3 and 1x1 (He et al. 2016,
/// figure 5), each with batch norm. Where F changes the shape, x passes a 1x1 convolution with batch norm. The stride is
/// that of the first 3x3 convolution, as in torchvision.
private struct ResidualBlock {
    private typealias Layer = (convolution: Conv2D, norm: BatchNorm)
    private let layers: [Layer]
    /// nil for an identity.
    private let shortcut: Layer?

    /// - Parameters:
    ///   - channels: of the 3x3 convolutions.
    init(
        _ declare: Declarations, inputs: Int, channels: Int, outputs: Int, stride: Int, hasBottleneck: Bool,
        batchNorm: BatchNormScope
    ) {
        func layer(
            _ declare: Declarations, _ names: (String, String), _ inputs: Int, _ outputs: Int, kernel: Int,
            stride: Int = 1, rectified: Bool
        ) -> Layer {
            (
                Conv2D(
                    declare, names.0, inputs: inputs, outputs: outputs, kernel: kernel, stride: stride,
                    padding: kernel / 2, start: .normal),
                BatchNorm(declare, names.1, channels: outputs, rectified: rectified, scope: batchNorm)
            )
        }
        if hasBottleneck {
            layers = [
                layer(declare, ("conv1", "bn1"), inputs, channels, kernel: 1, rectified: true),
                layer(declare, ("conv2", "bn2"), channels, channels, kernel: 3, stride: stride, rectified: true),
                layer(declare, ("conv3", "bn3"), channels, outputs, kernel: 1, rectified: true),
            ]
        } else {
            layers = [
                layer(declare, ("conv1", "bn1"), inputs, channels, kernel: 3, stride: stride, rectified: true),
                layer(declare, ("conv2", "bn2"), channels, outputs, kernel: 3, rectified: true),
            ]
        }
        shortcut =
            stride > 1 || inputs != outputs
            ? layer(
                declare.within("downsample"), ("0", "1"), inputs, outputs, kernel: 1, stride: stride, rectified: false)
            : nil
    }

    /// [n, H, W, inputs] to [n, H/stride, W/stride, outputs]. The last norm adds the shortcut before its rectifier.
    func callAsFunction(_ tape: Tape, _ x: Variable) throws -> Variable {
        let skip = try shortcut.map { try $0.norm(tape, $0.convolution(tape, x)) } ?? x
        var y = x
        for (index, layer) in layers.enumerated() {
            y = try layer.norm(
                tape, layer.convolution(tape, y), adding: index == layers.count - 1 ? skip : nil)
        }
        return y
    }
}
