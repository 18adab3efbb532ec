import Collectives
import Datasets
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
