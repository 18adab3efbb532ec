import Autodiff
import Collectives
import Datasets
import Layers
import Networks
import Objectives
import Training

/// The settings of a method with one encoder of images, under `encoder`.
package protocol ViewEncoderSettings: MethodSettings {
    var encoder: EncoderSettings { get set }
}

extension ViewEncoderSettings {
    package func adopting(_ earlier: Self) -> Self {
        var result = self
        result.encoder = encoder.adopting(earlier.encoder)
        return result
    }
}

extension Method where Settings: ViewEncoderSettings, Source == ViewSource {
    package static func resolved(_ settings: Settings, for card: ViewCard) throws -> Settings {
        var result = settings
        result.encoder = try settings.encoder.resolved(for: card.image.shape)
        return result
    }
}

/// The settings of a method whose encoder has a projector on its code.
package protocol ProjectedSettings: ViewEncoderSettings {
    var projector: HeadSettings { get }
    var batchNorm: BatchNormScope { get }
    var optimiser: OptimiserSettings { get }
}

extension ProjectedSettings {
    /// Throws `InputError` where a value of the network or its optimiser is out of its range.
    func checkNetwork() throws {
        try encoder.check()
        try projector.check("projector")
        try optimiser.check("optimiser")
    }

    /// Declares the encoder and the projector.
    /// - Parameter last: the projector's last layer.
    /// - Throws: `InputError` where the settings don't fit these images.
    func network(_ declare: Declarations, card: ViewCard, last: MLP.Last) throws -> ProjectedEncoder {
        try ProjectedEncoder(
            declare, encoder, projector: projector, image: card.image, batchNorm: batchNorm, last: last)
    }
}

/// A method whose features are those of an encoder with a projector.
package protocol ProjectedMethod: Method where Source == ViewSource, Layer == ProjectedLayer {
    var network: ProjectedEncoder { get }
}

extension ProjectedMethod {
    package func features(_ tape: Tape, _ batch: ViewBatch, _ layers: [ProjectedLayer]) throws -> [Variable] {
        try network.features(tape, tape.constant(batch.images), layers)
    }
}

extension ViewCard {
    /// Properties of the images, for networks.
    package var image: ImageProperties {
        ImageProperties(
            MapShape(height: height, width: width, channels: channels), patchCovariance: patchCovariance)
    }

    /// Refuses views of another size than the images', where the encoder takes no other.
    /// - Parameter sizes: sides of views by their settings; 0 for the images' own size.
    /// - Throws: `InputError` that names the setting.
    func check(viewSizes sizes: KeyValuePairs<String, Int>, for encoder: ImageEncoder) throws {
        for (setting, side) in sizes
        where side != 0 && (side, side) != (height, width) && !encoder.takesAnySize {
            throw InputError(
                "\(setting) is \(side), but images are \(height)x\(width), and this encoder takes only that size: set "
                    + "it to 0, or encoder.kind to fast or residual")
        }
    }
}

extension ViewRecipe {
    /// This recipe, with what the encoder needs to know of the images.
    func serving(_ encoder: EncoderSettings) -> ViewRecipe {
        var result = self
        result.needsPatchCovariance = encoder.needsPatchCovariance
        return result
    }
}

extension ViewSettings {
    /// The recipe of views of one size that must not all be alike.
    /// - Parameters:
    ///   - side: of the views, in pixels; 0 for the images' own size.
    ///   - encoder: the encoder that they are for.
    ///   - method: its name, for the message.
    /// - Throws: `InputError` where the augmentation makes no difference between views.
    func recipe(
        ofViews count: Int, side: Int = 0, for encoder: EncoderSettings, method: String
    ) throws -> ViewRecipe {
        let views = ViewGroup(count, of: try augmentationOfViews(for: method), side: side == 0 ? nil : side)
        return ViewRecipe([views]).serving(encoder)
    }

    /// The augmentation of views that must not all be alike.
    /// - Parameter method: its name, for the message.
    /// - Throws: `InputError` where the augmentation makes no difference between views.
    func augmentationOfViews(for method: String) throws -> Augmentation {
        guard augmentation.changesImages else {
            throw InputError(
                "\(method) learns from different views of an image, but data.augmentation makes no difference between "
                    + "them: set data.augmentation.recipe=simclr or another of its settings")
        }
        return augmentation
    }
}

extension Pass {
    /// Outputs of a network for each view of a batch, in order of the groups: [output][view], [n, …] each. All views of a
    /// group pass in one batch, so that batch norms treat them alike. Collective, as `apply` is.
    /// - Parameter counts: number of views of each group.
    func views(
        of batch: ViewBatch, counts: [Int], _ network: @escaping (Tape, Variable) throws -> [Variable]
    ) throws -> [[Variable]] {
        var result: [[Variable]] = []
        for (images, count) in zip(batch.groups, counts) {
            let outputs = try apply(images, network).map { output in
                (0..<count).map { tape.rows(output, $0 * batch.count..<($0 + 1) * batch.count) }
            }
            result = result.isEmpty ? outputs : zip(result, outputs).map { $0 + $1 }
        }
        return result
    }
}

extension Term {
    /// The deviation of the codes of all views, [n, D] each. Collective.
    static func deviation(of views: [Variable], on tape: Tape) throws -> Term {
        try deviation(of: tape.unitRows(tape.concatenateRows(views.map { tape.constant($0.value) })), on: tape)
    }
}

extension OptimiserSettings {
    /// The defaults of methods of several views.
    static var ofViews: OptimiserSettings {
        var settings = OptimiserSettings()
        settings.rate = 1e-3
        settings.schedule = .cosine
        return settings
    }
}

extension Configuration where M.Source == ViewSource {
    /// The defaults of methods of several views, which must differ.
    static var ofViews: Configuration {
        var result = Configuration()
        result.run.batch = 256
        result.data.augmentation = Augmentation(.simclr) ?? result.data.augmentation
        return result
    }
}
