import Autodiff
import Collectives
import Layers
import Tensors

/// A network after airbench94 (`FastSettings`): a layer `whitening` of 2x2 filters, then groups of 3x3 convolutions,
/// then pools over the last map. Batch norms come after the group's max pool, so most passes over memory are of maps
/// that are already a quarter as large.
struct FastNetwork: Backbone {
    /// The first layer: filters that never move, or are trained like any others.
    private enum First {
        case fixed(FixedConv2D)
        case trained(Conv2D)
    }

    private typealias Layer = (convolution: Conv2D, norm: BatchNorm)
    private let settings: FastSettings
    private let first: First
    private let groups: [[Layer]]
    let localMap: MapShape
    let takesAnySize = true

    var width: Int { settings.pooling.width(channels: settings.widths[settings.widths.count - 1]) }

    /// - Parameters:
    ///   - settings: resolved ones.
    ///   - image: properties of images of at least 2x2 pixels.
    /// - Throws: `InputError` where whitening filters are asked for and the covariance of patches isn't known.
    init(
        _ declare: Declarations, _ settings: FastSettings, image: ImageProperties, batchNorm: BatchNormScope
    ) throws {
        self.settings = settings
        let channels = image.shape.channels
        localMap = settings.maps(of: image.shape)[settings.local - 1]
        var inputs = 8 * channels
        if settings.whitening {
            guard let covariance = image.patchCovariance else {
                throw InputError(
                    "encoder.fast.whitening is true, but the covariance of patches of these images isn't known, as for "
                        + "images of more than 16 channels: set encoder.fast.whitening=false")
            }
            let filters = try whiteningFilters(covariance: covariance, size: 4 * channels)
            first = .fixed(
                FixedConv2D(declare, "whitening", inputs: channels, outputs: inputs, kernel: 2, weight: filters))
        } else {
            first = .trained(
                Conv2D(declare, "whitening", inputs: channels, outputs: inputs, kernel: 2, stride: 1, padding: 0))
        }
        groups = settings.widths.enumerated().map { group, outputs in
            let declare = declare.within("group\(group + 1)")
            return (1...settings.convolutions).map { index in
                defer { inputs = outputs }
                return (
                    Conv2D(
                        declare, "conv\(index)", inputs: inputs, outputs: outputs, kernel: 3, stride: 1, padding: 1,
                        start: .identity),
                    // The next norm would divide out a scale, whose gradient would be only rounding.
                    BatchNorm(
                        declare, "norm\(index)", channels: outputs, rectified: true, scope: batchNorm, trained: .shift)
                )
            }
        }
    }

    func callAsFunction(_ tape: Tape, _ images: Variable) throws -> BackboneOutputs {
        let filtered =
            switch first {
            case .fixed(let layer): try layer(tape, images)
            case .trained(let layer): try layer(tape, images)
            }
        // Filters come with their negatives, so the rectifier loses nothing.
        var x = tape.piece("whitening rectifier") { tape.rectify(filtered) }
        let maps = try groups.map { layers in
            for (index, layer) in layers.enumerated() {
                let isPooled = index == 0 && FastSettings.isPooled(height: x.shape[1], width: x.shape[2])
                x = try layer.norm(
                    tape, isPooled ? layer.convolution.pooled(tape, x) : layer.convolution(tape, x))
            }
            return x
        }
        return BackboneOutputs(
            stages: maps, local: settings.local - 1, features: settings.pooling(tape, x), pooling: settings.pooling)
    }

    /// `fast network of 64-256-256 channels in groups of 2 convolutions, whitening`
    var description: String {
        "fast network of \(settings.widths.map(String.init).joined(separator: "-")) channels in groups of "
            + "\(settings.convolutions) convolutions" + (settings.whitening ? ", whitening" : "")
    }
}
