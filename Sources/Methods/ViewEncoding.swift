import Collectives
import Datasets
import Layers
import Networks
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
        result.encoder = try settings.encoder.resolved(for: card.image)
        return result
    }
}

extension ViewCard {
    /// Shape of the images, for networks.
    var image: MapShape { MapShape(height: height, width: width, channels: channels) }
}

extension ViewSettings {
    /// Augmentations of views of one size that are not all alike.
    /// - Parameter method: its name, for the message.
    /// - Throws: `InputError` where the augmentation makes no difference between views.
    func differentViews(_ count: Int, for method: String) throws -> [Augmentation] {
        guard augmentation.changesImages else {
            throw InputError(
                "\(method) learns from two different views of an image, but data.augmentation makes no difference "
                    + "between them: set data.augmentation.padCrop or another of its settings")
        }
        return Array(repeating: augmentation, count: count)
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
        result.data.augmentation = Augmentation(padCrop: 4, flip: true)
        return result
    }
}
